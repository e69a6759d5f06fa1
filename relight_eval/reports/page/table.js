// The images: rows of one height, of which only those in view exist.

const NARROW = matchMedia('(max-width: 720px)');
const OVERSCAN = 6;
const PRINTED = 300;
const REST_MS = 120; // how long a row must stay in view before its files are read from disk
const LARGEST = 6_000_000; // pixels of a file that is shown small where nothing small is embedded

const table = {rows: [], shown: new Map(), height: 34, columns: [], printing: false};

/** The columns of the list: those that have scores, of the run that is looked at; of bands and layers those asked for. */
function shownColumns() {
  const there = columns.filter(column => column.run === state.run && merits(column).length);
  return there.filter(column => isShown(column) || column.name === sortedBy());
}

const isShown = column => column.main || state.all === '*' || state.all === column.metric;
const sortedBy = () => state.sort.replace(/^-/, '');
const hasWords = () => data.kinds.length || [data.errors, data.notes, data.mistakes].some(of => Object.keys(of).length);

/** Whether rows have room for small pictures: those that are embedded, or files small enough to be read for them. */
const hasPictures = () => data.pictures || data.sizes.some((_, row) => thumbSides().some(side => smallLink(side, row)));

/** The address of a file that is not too large to be shown small; null where there is none. */
function smallLink(side, row) {
  const [width, height] = data.sizes[row];
  return width * height > 0 && width * height <= LARGEST ? linkOf(side, row) : null;
}

/** The widths of the columns: each at least as wide as its head; on paper, as narrow as they can be read. */
function setTracks() {
  const paper = table.printing ? 0.6 : 1;
  const widths = [
    ...(table.pictures ? [[64 * thumbSides().length + 8, 0]] : []),
    [150 * paper, 1.6],
    ...(table.words ? [[230 * paper, 1.8]] : []),
    ...table.columns.map(({short}) => [(Math.max(78, 7.4 * short.length + 24) * (paper + 1)) / 2, 0.3]),
  ];
  const tracks = widths.map(([least, share]) => (share ? `minmax(${least}px, ${share}fr)` : `${least}px`));
  const sum = widths.reduce((total, [least]) => total + least + 12, 8);
  byId('images').style.setProperty('--tracks', tracks.join(' '));
  byId('images').style.setProperty('--least', `${sum}px`);
}

/** Takes the rows from the state and draws all anew. */
function showTable() {
  table.rows = chosen(state);
  table.columns = shownColumns();
  table.pictures = hasPictures();
  table.words = hasWords();
  table.height = NARROW.matches ? 116 : table.pictures ? 72 : 34;
  setTracks();
  byId('images').style.setProperty('--row', `${table.height}px`);
  byId('images').classList.toggle('tall', table.pictures);
  showHead();
  byId('shown').textContent =
    table.rows.length === count
      ? counted(count, 'image')
      : `${table.rows.length.toLocaleString('en')} of ${counted(count, 'image')}`;
  byId('nothing').hidden = table.rows.length > 0;
  byId('table').setAttribute('aria-rowcount', table.rows.length);
  byId('sheet').style.height = `${table.rows.length * table.height}px`;
  byId('sheet').replaceChildren();
  table.shown.clear();
  drawRows();
}

/** The sides that are seen without being asked for: of a comparison, the baseline and the run that is looked at. */
const mainSides = () =>
  data.sides.filter(({key}) => (data.compared ? ['t', 'r0', `r${state.run}`].includes(key) : true));
const thumbSides = () => mainSides().filter(side => side.key !== 'i');

function showHead() {
  const head = byId('head');
  const button = (word, label, title) => {
    const now = sortedBy() === word,
      turned = state.sort.startsWith('-');
    return h(
      'div',
      {
        role: 'columnheader',
        class: word === 'name' ? 'name' : 'score',
        title,
        'aria-sort': now ? (turned ? 'descending' : 'ascending') : undefined,
      },
      h(
        'button',
        {
          type: 'button',
          class: now ? 'sorted' : '',
          'data-sort': word,
          onclick: () => go({sort: now && !turned ? `-${word}` : now ? 'worst' : word}),
        },
        label,
        now ? h('span', {class: 'way', text: turned ? ' ▴' : ' ▾'}) : '',
      ),
    );
  };
  head.replaceChildren(
    h(
      'div',
      {role: 'row', class: 'row'},
      table.pictures
        ? h(
            'div',
            {role: 'columnheader', class: 'thumbs'},
            thumbSides().map(side => h('span', {text: side.label})),
          )
        : '',
      button('name', 'image', 'sort by name'),
      table.words ? h('div', {role: 'columnheader', text: 'why'}) : '',
      table.columns.map(column =>
        button(column.name, `${column.short} ${column.arrow}`, `${column.meaning}; click: worst first`),
      ),
    ),
  );
  head.scrollLeft = byId('list').scrollLeft;
}

/** Makes the rows that are in view, and forgets those that are no more. */
function drawRows() {
  const box = byId('sheet').getBoundingClientRect();
  let first = Math.max(0, Math.floor(-box.top / table.height) - OVERSCAN);
  let last = Math.min(table.rows.length, Math.ceil((innerHeight - box.top) / table.height) + OVERSCAN);
  if (table.printing) [first, last] = [0, Math.min(PRINTED, table.rows.length)];
  for (const [at, element] of table.shown) {
    if (at < first || at >= last) {
      element.remove();
      table.shown.delete(at);
    }
  }
  for (let at = first; at < last; at++) {
    if (table.shown.has(at)) continue;
    const element = makeRow(table.rows[at], at);
    table.shown.set(at, element);
    const next = [...table.shown].filter(([other]) => other > at).sort((a, b) => a[0] - b[0])[0];
    byId('sheet').insertBefore(element, next?.[1] ?? null);
  }
  readFilesSoon();
}

function makeRow(row, at) {
  const failed = ['is:failed', `moved:worse@${state.run}`].some(word => filters.get(word)?.rows.has(row)),
    odd = statusOf(row) !== 'ok' || data.mistakes[row];
  const element = h(
    'div',
    {class: `row${failed ? ' fail' : odd ? ' odd' : ''}`, role: 'row', 'aria-rowindex': at + 1, 'data-row': row},
    table.pictures
      ? h(
          'div',
          {role: 'cell', class: 'thumbs'},
          thumbSides().map(side => thumb(side, row)),
        )
      : '',
    h(
      'div',
      {role: 'cell', class: 'name'},
      h(
        'a',
        {href: hashOf({...state, open: row}), 'data-open': row, title: data.names[row]},
        data.names[row],
      ),
    ),
    table.words ? h('div', {role: 'cell', class: 'why'}, whyWrong(row)) : '',
    h(
      'div',
      {class: 'scores'},
      table.columns.map(column => scoreCell(column, row)),
    ),
  );
  element.style.top = `${at * table.height}px`;
  return element;
}

function scoreCell(column, row) {
  const score = column.scores[row];
  const cell = h(
    'div',
    {
      role: 'cell',
      class: `score${column.name === sortedBy() ? ' by' : ''}`,
      'data-name': `${column.short} ${column.arrow}`,
    },
    Number.isNaN(score) ? '' : told(column, score),
  );
  if (!Number.isNaN(score)) tint(cell, column, score);
  return cell;
}

/** The worst quarter is tinted; of changes, all that are for the worse, and all that are for the better. */
function tint(cell, column, score) {
  const ordered = merits(column);
  if (column.better === 'none' || ordered.length < 4) return;
  const most = Math.max(Math.abs(ordered[0]), Math.abs(ordered[ordered.length - 1]));
  const share = column.signed ? Math.min(Math.abs(score) / most, 1) || 0 : Math.max(0, 1 - 4 * standing(column, score));
  if (share) cell.style.setProperty('--tint', `${Math.round(26 * share)}%`);
  if (column.signed && merit(column, score) > 0) cell.classList.add('gained');
}

/** What is to be said of a row, the main thing first. */
function whyWrong(row) {
  const said = [
    ...(data.mistakes[row] ?? []).map(words => ['mistake', words]),
    ...(data.errors[row] ? [[isUnpaired(row) ? 'unpaired' : 'error', data.errors[row]]] : []),
    ...(data.findings[row] ?? []).map(([, words]) => ['', words]),
    ...(data.notes[row] ? [['note', data.notes[row]]] : []),
  ];
  return said.map(([kind, words]) => {
    const evidence = kind ? words : words.replace(/^[^(]*/, '');
    return h(
      'span',
      {class: `said ${kind}`, title: words},
      h('b', {text: kind || words.slice(0, words.length - evidence.length).trim()}),
      ` ${evidence}`,
    );
  });
}

function thumb(side, row) {
  const source = thumbnail(side, row);
  if (source) return h('img', {src: source, alt: side.label, decoding: 'async', width: 64, height: 64});
  return h('span', {
    class: 'no-thumb',
    role: 'img',
    'aria-label': `${side.label} is not embedded`,
    'data-link': smallLink(side, row),
  });
}

/** Files are read from disk only for rows that stay in view. */
function readFilesSoon() {
  clearTimeout(table.rest);
  table.rest = setTimeout(() => {
    for (const place of byId('sheet').querySelectorAll('.no-thumb[data-link]')) {
      const box = place.getBoundingClientRect();
      if (box.bottom < 0 || box.top > innerHeight) continue;
      const image = h('img', {
        alt: place.ariaLabel,
        decoding: 'async',
        loading: 'lazy',
        width: 64,
        height: 64,
        onerror: () => image.replaceWith(place),
      });
      image.src = place.dataset.link;
      delete place.dataset.link;
      place.replaceWith(image);
    }
  }, REST_MS);
}

/** The row is brought into view and gets the focus. */
function focusRow(at) {
  const to = Math.min(Math.max(at, 0), table.rows.length - 1);
  if (to < 0) return;
  const top = byId('sheet').getBoundingClientRect().top + to * table.height,
    bar = 110;
  if (top < bar) scrollBy(0, top - bar);
  else if (top + table.height > innerHeight) scrollBy(0, top + table.height - innerHeight);
  drawRows();
  table.shown.get(to)?.querySelector('a').focus({preventScroll: true});
}

function moveInTable(event) {
  const row = event.target.closest('.row');
  const at = row ? Number(row.getAttribute('aria-rowindex')) - 1 : -1;
  const page = Math.max(1, Math.floor((innerHeight - 120) / table.height));
  const to = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + page,
    PageUp: at - page,
    Home: 0,
    End: table.rows.length - 1,
  }[event.key];
  if (to === undefined || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  focusRow(to);
}

function startTable() {
  const draw = perFrame(drawRows);
  addEventListener('scroll', draw, {passive: true});
  addEventListener('resize', draw);
  NARROW.addEventListener('change', showTable);
  byId('list').addEventListener(
    'scroll',
    () => {
      byId('head').scrollLeft = byId('list').scrollLeft;
    },
    {passive: true},
  );
  byId('list').addEventListener('keydown', moveInTable);
  byId('sheet').addEventListener('click', event => {
    const row = event.target.closest('.row');
    if (row && !event.target.closest('a') && !getSelection().toString()) go({open: Number(row.dataset.row)});
  });
  addEventListener('beforeprint', () => {
    table.printing = true;
    showTable();
  });
  addEventListener('afterprint', () => {
    table.printing = false;
    showTable();
  });
}
