// What there is to say of the open image, beside its pictures.

function showPanel() {
  const row = viewer.row,
    [width, height] = data.sizes[row];
  const files = [...data.sides, ...(data.masks ? [{label: 'mask', ...data.masks}] : [])];
  const links = files.map(file => [file, linkOf(file, row)]).filter(([, link]) => link !== null);
  const addresses = files.map(file => [file, addressOf(file, row)]).filter(([, address]) => address !== null);
  const groups = data.groups.map(group => `${group.name} ${group.values[group.of[row]] || '(none)'}`);
  const rules = data.rules.filter(rule => rule.outcome !== 'pass' && rule.rows.includes(row));
  viewer.panel.replaceChildren(
    h('p', {class: 'hint'}, [width ? `${width}×${height}` : '', ...groups].filter(Boolean).join('  ·  ')),
    h('div', {class: 'why'}, whyWrong(row)),
    rules.length
      ? h(
          'div',
          {class: 'why'},
          rules.map(rule =>
            h('span', {class: `said ${rule.outcome}`}, h('b', {text: rule.outcome}), ` beyond ${rule.rule}`),
          ),
        )
      : '',
    standingsTable(row),
    h(
      'p',
      {class: 'links'},
      links.map(([{label}, link]) =>
        h('a', {href: link, target: '_blank', rel: 'noopener', title: readable(link)}, `open the original ${label}`),
      ),
    ),
    addresses.length
      ? h(
          'p',
          {class: 'hint addresses'},
          addresses.map(([{label}, address]) => h('span', {}, `${label}: `, named(address))),
        )
      : '',
    h('p', {
      class: 'hint keys',
      text: '← → images   + − 0 1 zoom   s side by side   l slider   b blink   space flips   m next map   Esc closes',
    }),
  );
}

/** Every score of the image: its value, where it stands among all, and what trivial predictions get. */
function standingsTable(row) {
  const there = columns.filter(column => column.run === state.run && !Number.isNaN(column.scores[row]));
  return h(
    'table',
    {class: 'standings'},
    h('colgroup', {}, h('col', {}), h('col', {class: 'value'}), h('col', {class: 'where'})),
    h(
      'tbody',
      {},
      there.map((column, i) => [
        !column.main && column.metric !== there[i - 1]?.metric
          ? h('tr', {class: 'heading'}, h('th', {colspan: 3, text: column.metric}))
          : null,
        h(
          'tr',
          {class: column.main ? 'main' : 'part'},
          h(
            'th',
            {scope: 'row', title: column.meaning},
            `${column.label} `,
            h('span', {class: 'arrow', text: column.arrow}),
          ),
          h('td', {}, told(column, column.scores[row])),
          h(
            'td',
            {class: 'where', title: 'all images, and where this one stands'},
            strip(column, column.scores[row]),
            h('span', {class: 'hint rank', text: standingWords(column, column.scores[row])}),
          ),
        ),
        besides(column, row),
      ]),
    ),
  );
}

/** Beneath a score, the same score of trivial predictions; beneath a change, that of every run. */
function besides(column, row) {
  const floors = Object.entries(data.floors).map(([name, scores]) => [name, scores[column.name]?.[row]]);
  const runs = column.signed ? data.runs.map((label, run) => [label, data.absolute[column.of][run][row]]) : [];
  const found = [...floors, ...runs].filter(([, score]) => score !== null && score !== undefined);
  return found.length
    ? h(
        'tr',
        {class: 'floors'},
        h(
          'td',
          {colspan: 3},
          found.map(([name, score]) => h('span', {text: `${name} ${number(Number(score))}`})),
        ),
      )
    : null;
}

/** An address: a link where a browser gets there, else words. */
function named(address) {
  const href = {href: address, target: '_blank', rel: 'noopener noreferrer'};
  return /^https?:/.test(address) ? h('a', {...href, text: address}) : address;
}

function readable(link) {
  try {
    return decodeURIComponent(link);
  } catch {
    return link;
  } // the name is no UTF-8
}
