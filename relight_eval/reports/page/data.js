// What the page was given: columns, and arrays over the rows.

const data = JSON.parse(byId('data').textContent);
const count = data.names.length;
const STATUSES = ['ok', 'error', 'missing_prediction', 'missing_target'];

const columns = data.columns.map((column, i) => ({
  ...column,
  identical: column.identical === null ? NaN : Number(column.identical),
  scores: Float64Array.from(data.scores[i], score => (score === null ? NaN : Number(score))),
}));
const columnOf = new Map(columns.map(column => [column.name, column]));
const rankOf = new Int32Array(count);
data.order.forEach((row, rank) => {
  rankOf[row] = rank;
});

/** The rows by the name that is shown: names that differ only in what does not show are shown alike. */
const rowsOf = new Map();
data.names.forEach((name, row) => {
  if (!rowsOf.has(name)) rowsOf.set(name, []);
  rowsOf.get(name).push(row);
});

const statusOf = row => STATUSES[data.status[row]];
const isUnpaired = row => statusOf(row).startsWith('missing_');

/** The larger the better, as Column.goodness; NaN where a column does not tell. */
function goodness(column, score) {
  if (column.better === 'higher') return score;
  if (column.better === 'lower') return -score;
  if (column.better === 'nearest') return -Math.abs(score - column.identical);
  return NaN;
}

/** What a column is sorted by, the worst first: its goodness, or of what tells none, the score, the largest first. */
const merit = (column, score) => (column.better === 'none' ? -score : goodness(column, score));

/** The merits of all images that have the score, in order; worked out when first asked for. */
function merits(column) {
  column.merits ??= column.scores
    .filter(score => !Number.isNaN(score))
    .map(score => merit(column, score))
    .sort();
  return column.merits;
}

/** The share of the images that are worse than this score, ties counted by half: 0 for the worst of many. */
function standing(column, score) {
  const ordered = merits(column),
    mine = merit(column, score);
  const below = firstAt(ordered, mine),
    upTo = firstAt(ordered, mine, true);
  return ordered.length > 1 ? (below + (upTo - below - 1) / 2) / (ordered.length - 1) : 0.5;
}

/** The first place in the ordered values that is not below `value`, or where `beyond`, that is above it. */
function firstAt(ordered, value, beyond = false) {
  let low = 0,
    high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ordered[middle] < value || (beyond && ordered[middle] === value)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A score for people: four decimals, fewer where it is large. */
function number(value) {
  if (Number.isNaN(value)) return '–';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  return Math.abs(value) < 1000 ? value.toFixed(4) : String(Number(value.toPrecision(5)));
}

/** A score of a column for people; a change with its sign. */
function told(column, score) {
  if (!column.signed || Number.isNaN(score)) return number(score);
  if (score === 0) return '0';
  const text = Number.isFinite(score) && Math.abs(score) < 5e-5 ? score.toExponential(1) : number(score);
  return score > 0 ? `+${text}` : text.replace('-', '−');
}

const counted = (n, what) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;

/** The address of the file of a side; null where there is none. */
function linkOf(side, row) {
  const rest = side.links[row];
  return rest === null || rest === undefined ? null : side.base + rest;
}

/** Where the file of a side is that is not here but at an address, such as s3://bucket/a.png; null for any other. */
const addressOf = (side, row) => (side.addresses ? linkOf(side.addresses, row) : null);

/** An embedded picture as an address; null where there is none, or where it has not been read yet. */
function embedded(key) {
  const element = byId(key);
  return element ? `data:image/webp;base64,${element.textContent}` : null;
}

/** The small picture of a side; the large one where there is no small one. */
const thumbnail = (side, row) => embedded(`s${row}-${side.key}`) ?? embedded(`p${row}-${side.key}`);
