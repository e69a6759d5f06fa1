// Which images are shown, and in which order. A filter is a word `FACET:VALUE`; filters of one facet widen what is
// shown, those of another narrow it.

const filters = new Map(); // word -> {label, tone, rows: Set}

/** Every filter that has a chip, with its rows. */
function defineFilters() {
  const all = Array.from({length: count}, (_, row) => row);
  const failing = outcome => data.rules.filter(rule => rule.outcome === outcome).flatMap(rule => rule.rows);
  define('is:failed', 'failed a rule', 'fail', failing('fail'));
  define('is:warned', 'warned', 'warn', failing('warn'));
  define(
    'is:error',
    'not scored in full',
    'fail',
    all.filter(row => statusOf(row) === 'error'),
  );
  define('is:unpaired', 'without partner', 'warn', all.filter(isUnpaired));
  define(
    'is:mistake',
    'set-up mistakes',
    'fail',
    all.filter(row => data.mistakes[row]),
  );
  define(
    'is:note',
    'notes',
    '',
    all.filter(row => data.notes[row]),
  );
  data.kinds.forEach((kind, k) => {
    define(
      `kind:${kind}`,
      kind,
      'kind',
      all.filter(row => data.findings[row]?.some(([of]) => of === k)),
    );
  });
  data.moves.forEach(({run, better, worse}) => {
    const of = data.moves.length > 1 ? ` in ${data.runs[run]}` : '';
    define(`moved:worse@${run}`, `worse${of}`, 'fail', worse);
    define(`moved:better@${run}`, `better${of}`, '', better);
  });
  data.rules.forEach((rule, i) => define(`rule:${i}`, rule.rule, rule.outcome, rule.rows, true));
  for (const group of data.groups) defineGroup(group);
}

function define(word, label, tone, rows, hidden = false) {
  if (rows.length) filters.set(word, {label, tone, hidden, rows: new Set(rows)});
}

function defineGroup(group) {
  const rows = group.values.map(() => []);
  group.of.forEach((value, row) => rows[value].push(row));
  group.values.forEach((value, i) => define(`in:${group.name}=${value}`, value || '(none)', 'group', rows[i], true));
}

/** `bin:psnr:20:22` -> its filter; null for a word that means nothing here. */
function filterOf(word) {
  return filters.get(word) ?? binFilter(word);
}

function binFilter(word) {
  const [facet, name, from, to] = word.split(':');
  const column = columnOf.get(name),
    low = Number(from),
    high = Number(to);
  if (facet !== 'bin' || !column || Number.isNaN(low) || Number.isNaN(high)) return null;
  const rows = new Set();
  column.scores.forEach((score, row) => {
    if (score >= low && score <= high) rows.add(row);
  });
  const range = low === high ? told(column, low) : `${told(column, low)} to ${told(column, high)}`;
  return {label: `${column.label} ${range}`, tone: '', hidden: true, rows};
}

function facetOf(word) {
  const [facet, name] = word.split(':');
  if (facet === 'bin') return `bin:${name}`;
  return facet === 'in' ? word.slice(0, word.indexOf('=')) : facet;
}

/** Add the filter, or take it away; of a histogram one bar at a time. */
function toggle(word) {
  const others = state.f.filter(
    other => other !== word && !(word.startsWith('bin:') && facetOf(other) === facetOf(word)),
  );
  go({f: state.f.includes(word) ? others : [...others, word], open: null});
}

/** The rows that are shown, in order. */
function chosen({q, sort, f}) {
  const facets = new Map();
  for (const word of f) {
    const found = filterOf(word);
    if (found) facets.set(facetOf(word), [...(facets.get(facetOf(word)) ?? []), found.rows]);
  }
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  return ordered(sort).filter(
    row =>
      [...facets.values()].every(sets => sets.some(set => set.has(row))) &&
      words.every(word => data.names[row].toLowerCase().includes(word)),
  );
}

/** All rows in this order; what has no score comes last, whichever way around. */
function ordered(sort) {
  const turned = sort.startsWith('-'),
    name = turned ? sort.slice(1) : sort;
  const column = columnOf.get(name === 'worst' && data.by ? `${data.by}@${state.run}` : name);
  const rows = name === 'name' ? Array.from({length: count}, (_, row) => row) : [...data.order];
  if (!column) return turned ? rows.reverse() : rows;
  const keys = column.scores.map(score => merit(column, score) * (turned ? -1 : 1));
  const last = row => Number.isNaN(keys[row]);
  return rows.sort((a, b) => last(a) - last(b) || (last(a) ? 0 : keys[a] - keys[b] || rankOf[a] - rankOf[b]));
}
