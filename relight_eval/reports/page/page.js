// The whole page: everything is put in its place once, and then follows the state.

function showChips() {
  const chip = ([word, {label, tone, rows}]) =>
    h(
      'button',
      {type: 'button', class: `chip ${tone}`, 'data-filter': word, 'aria-pressed': String(state.f.includes(word))},
      label,
      h('span', {class: 'count', text: rows.size.toLocaleString('en')}),
    );
  const fixed = [...filters].filter(([, filter]) => !filter.hidden);
  const others = state.f
    .filter(word => !fixed.some(([of]) => of === word) && filterOf(word))
    .map(word => [word, filterOf(word)]);
  byId('chips').replaceChildren(
    ...fixed.map(chip),
    ...data.groups.map(groupPicker),
    ...others.map(chip),
    state.f.length || state.q ? h('button', {type: 'button', class: 'quiet', onclick: clearFilters}, 'clear') : '',
  );
  for (const element of document.querySelectorAll('main [data-filter]')) {
    if (!element.closest('#chips'))
      element.setAttribute('aria-pressed', String(state.f.includes(element.dataset.filter)));
  }
}

/** The values of a group to choose from: there may be hundreds. */
function groupPicker(group) {
  const options = group.values.map(value => [`in:${group.name}=${value}`, value || '(none)']);
  return h(
    'select',
    {
      class: 'chip',
      'aria-label': group.name,
      onchange: event => {
        if (event.target.value) toggle(event.target.value);
      },
    },
    h('option', {value: ''}, `${group.name} (${group.values.length})`),
    options.map(([word, label]) => h('option', {value: word}, `${label} (${filters.get(word)?.rows.size ?? 0})`)),
  );
}

const clearFilters = () => go({f: [], q: ''});

function showSort() {
  const orders = [
    ['worst', data.compared ? 'worst change first' : data.rules.length ? 'failed and worst first' : 'worst first'],
    ['-worst', `best ${data.compared ? 'change ' : ''}first`],
    ['name', 'name'],
    ...shownColumns().flatMap(({name, label}) => [
      [name, `${label}, worst first`],
      [`-${name}`, `${label}, best first`],
    ]),
  ];
  byId('sort').replaceChildren(
    ...orders.map(([word, label]) => h('option', {value: word, selected: word === state.sort}, label)),
  );
}

/** Which scores are shown, in the table of scores and in the list: the main ones, and the parts of one metric, or of all. */
function showColumns() {
  const parts = new Set(columns.filter(column => !column.main && merits(column).length).map(column => column.metric));
  const choices = [
    ['', 'main scores'],
    ...[...parts].map(metric => [metric, `with ${metric} in parts`]),
    ...(parts.size > 1 ? [['*', 'everything']] : []),
  ];
  const select = byId('columns');
  select.hidden = parts.size === 0;
  select.replaceChildren(
    ...choices.map(([word, label]) => h('option', {value: word, selected: word === state.all}, label)),
  );
  for (const line of document.querySelectorAll('.scores tr.part'))
    line.hidden = !(state.all === '*' || state.all === line.dataset.metric);
}

/** How often each kind of finding was made. */
function showKinds() {
  const kinds = [...filters]
    .filter(([word]) => word.startsWith('kind:'))
    .sort((a, b) => b[1].rows.size - a[1].rows.size);
  const place = byId('kinds');
  if (!place || !kinds.length) return;
  place.hidden = false;
  place.querySelector('.bars').replaceChildren(
    ...kinds.map(([word, {label, rows}]) => {
      const bar = h('i', {});
      bar.style.width = `${(100 * rows.size) / count}%`;
      return h(
        'button',
        {type: 'button', class: 'kind-bar', 'data-filter': word},
        h('span', {text: label}),
        h('span', {class: 'track'}, bar),
        h('span', {class: 'count', text: String(rows.size)}),
      );
    }),
  );
}

/** Light, dark, or as the system has it: kept by the browser, where it keeps anything for pages from disk. */
function startTheme() {
  const themes = ['system', 'light', 'dark'],
    button = byId('theme');
  const show = theme => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `theme: ${theme}`;
  };
  let theme = 'system';
  try {
    theme = localStorage.getItem('relight-eval-theme') ?? theme;
  } catch {
    /* it keeps nothing */
  }
  button.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try {
      localStorage.setItem('relight-eval-theme', theme);
    } catch {
      /* it keeps nothing */
    }
    show(theme);
  });
  show(themes.includes(theme) ? theme : 'system');
}

function clicked(event) {
  const filter = event.target.closest('[data-filter]'),
    link = event.target.closest('a[data-open]'),
    copy = event.target.closest('[data-copy]');
  if (filter) {
    toggle(filter.dataset.filter);
    if (!filter.closest('#images')) byId('images').scrollIntoView();
  } else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go({open: Number(link.dataset.open)});
  } else if (copy) copyText(byId(copy.dataset.copy), copy);
}

async function copyText(element, button) {
  try {
    await navigator.clipboard.writeText(element.textContent);
  } catch {
    getSelection().selectAllChildren(element);
    document.execCommand('copy');
  }
  button.textContent = 'copied';
  setTimeout(() => {
    button.textContent = 'copy';
  }, 1500);
}

function show(now, before) {
  const same =
    before && ['q', 'sort', 'all', 'run'].every(key => before[key] === now[key]) && before.f.join() === now.f.join();
  if (!same) {
    if (byId('search').value !== now.q) byId('search').value = now.q;
    showColumns();
    showSort();
    showTable();
    showChips();
  }
  showViewer(now, before);
}

function start() {
  startTheme();
  defineFilters();
  state = readState();
  startTable();
  startViewer();
  for (const place of document.querySelectorAll('[data-histogram]')) {
    const column = columns[place.dataset.histogram];
    if (merits(column).length) place.append(histogram(column));
  }
  showKinds();
  if (data.compared) startComparison();
  onState(show);
  document.addEventListener('click', clicked);
  byId('clear').addEventListener('click', clearFilters);
  byId('columns').addEventListener('change', event => go({all: event.target.value}));
  byId('sort').addEventListener('change', event => go({sort: event.target.value}));
  byId('search').addEventListener('input', event => go({q: event.target.value}, true));
  document.addEventListener('keydown', event => {
    if (event.key === '/' && !event.target.closest('input, select, dialog')) {
      event.preventDefault();
      byId('search').focus();
    }
  });
  show(state, null);
  performance.mark('images');
  // The pictures stand behind this script: what has been shown without them is shown again.
  document.addEventListener('DOMContentLoaded', () => {
    showTable();
    if (viewer.row >= 0) {
      openRow(viewer.row);
      showViewer(state, state);
    }
  });
}

start();
