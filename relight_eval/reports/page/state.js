// What is shown, kept in the address: #q=…&sort=…&f=…&open=…, so that a view can be linked to, and Back works.

const VIEWS = {side: ['side by side', 's'], slider: ['slider', 'l'], blink: ['blink', 'b']};

/** q: search; sort: `worst`, `name` or a column, `-` turns it around; f: filters; open: the row of the image that is
    open, in the address its name, and where several are shown by that name, `row`, too; view: how it is shown; left,
    right: the sides that are held against each other; map: which one; all: the metric whose single bands and layers
    are shown, `*` for all of them; run: of a comparison, the run that is looked at.
    An address may say anything: what is not known here is as if it were not said. */
function readState() {
  const found = new URLSearchParams(location.hash.slice(1));
  const known = (key, isKnown, otherwise = '') => (isKnown(found.get(key) ?? '') ? found.get(key) : otherwise);
  const isSide = key => data.sides.some(side => side.key === key);
  const rows = rowsOf.get(found.get('open')) ?? [];
  return {
    q: found.get('q') ?? '',
    sort: known('sort', isOrder, 'worst'),
    f: found.getAll('f').filter(filterOf),
    open: rows.find(row => String(row) === found.get('row')) ?? rows[0] ?? null,
    view: known('view', view => Object.hasOwn(VIEWS, view), 'side'),
    left: known('left', isSide),
    right: known('right', isSide),
    map: known('map', map => data.maps.some(({name}) => [name, `change of ${name}`].includes(map))),
    all: known('all', all => all === '*' || columns.some(({metric}) => metric === all)),
    run: Number(known('run', run => data.runs.some((_, i) => i > 0 && String(i) === run), data.looked)),
  };
}

function isOrder(sort) {
  const name = sort.replace(/^-/, '');
  return ['worst', 'name'].includes(name) || columnOf.has(name);
}

let state = null; // until the filters are defined
const listeners = [];

/** Calls `listener(state, before)` whenever the state has changed. */
const onState = listener => listeners.push(listener);

/** The address of a state, without what is as it is by default. */
function hashOf({q, sort, f, open, view, left, right, map, all, run}) {
  const found = new URLSearchParams();
  if (q) found.set('q', q);
  if (sort !== 'worst') found.set('sort', sort);
  for (const key of f) found.append('f', key);
  if (all) found.set('all', all);
  if (run !== data.looked) found.set('run', run);
  if (open !== null) found.set('open', data.names[open]);
  if (open !== null && rowsOf.get(data.names[open]).length > 1) found.set('row', open);
  if (open !== null && view !== 'side') found.set('view', view);
  if (open !== null && left) found.set('left', left);
  if (open !== null && right) found.set('right', right);
  if (open !== null && map) found.set('map', map);
  return `#${found}`;
}

/** Go to another state. `quietly` writes over the address instead of adding a step for Back. */
function go(change, quietly = false) {
  const next = hashOf({...state, ...change});
  if (next === hashOf(state)) return;
  if (quietly) history.replaceState(null, '', next);
  else history.pushState(null, '', next);
  follow();
}

/** Take the state from the address, as it is now. */
function follow() {
  const before = state;
  state = readState();
  if (hashOf(before) !== hashOf(state)) for (const listener of listeners) listener(state, before);
}

addEventListener('popstate', follow);
addEventListener('hashchange', follow);
