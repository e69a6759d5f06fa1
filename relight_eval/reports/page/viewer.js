// One image, opened: its pictures side by side, under a slider or blinking, and what there is to say of it.

const BLINK_MS = 600;
const viewer = {row: -1, sources: new Map(), panes: [], split: 0.5, flipped: false, bars: []};

// The frame

/** The two sides that slider and blinking hold against each other. */
function heldSides() {
  const sources = [...viewer.sources.values()];
  const left = sources.find(({side}) => side.key === (state.left || data.held[0])) ?? sources[0];
  const right =
    sources.find(source => source.side.key === (state.right || data.held[1]) && source !== left) ??
    sources.find(source => source !== left);
  return [left, right];
}

function makeFrame() {
  viewer.stage = h('div', {class: 'stage'});
  viewer.readout = h('output', {class: 'readout'});
  viewer.scale = h('output', {class: 'zoom-scale'});
  viewer.panel = h('aside', {class: 'panel', tabindex: 0, 'aria-label': 'about this image'});
  viewer.name = h('h2', {});
  viewer.place = h('span', {class: 'hint'});
  viewer.controls = h('div', {class: 'controls'});
  viewer.meaning = h('p', {class: 'hint meaning'});
  const button = (label, title, onclick, name) =>
    h('button', {type: 'button', title, 'aria-label': title, onclick, 'data-do': name}, label);
  byId('viewer').replaceChildren(
    h(
      'header',
      {class: 'bar'},
      button('‹', 'the image before (←)', () => step(-1), 'previous'),
      button('›', 'the next image (→)', () => step(1), 'next'),
      viewer.name,
      viewer.place,
      h('span', {class: 'spring'}),
      viewer.controls,
      h(
        'div',
        {class: 'group'},
        button('−', 'smaller (-)', () => zoom.by(1 / 1.5), 'smaller'),
        viewer.scale,
        button('+', 'larger (+)', () => zoom.by(1.5), 'larger'),
        button('fit', 'all of the image (0)', zoom.fit, 'fit'),
        button('1:1', 'pixels as they are (1)', () => zoom.to(1 / devicePixelRatio), 'actual'),
      ),
      button('✕', 'close (Esc)', close, 'close'),
    ),
    h(
      'div',
      {class: 'body'},
      h('div', {class: 'looking'}, viewer.stage, h('div', {class: 'foot'}, viewer.readout, viewer.meaning)),
      viewer.panel,
    ),
  );
}

function showControls() {
  const views = viewer.sources.size > 1 ? Object.entries(VIEWS) : [];
  const sources = [...viewer.sources.values()],
    choices = mapChoices(),
    choice = chosenChoice();
  const [left, right] = heldSides();
  const sidePicker = (name, now) =>
    h(
      'select',
      {'aria-label': `${name} side`, 'data-do': name, onchange: event => go({[name]: event.target.value}, true)},
      sources.map(source => h('option', {value: source.side.key, selected: source === now}, source.label)),
    );
  viewer.controls.replaceChildren(
    views.length
      ? h(
          'div',
          {class: 'group', role: 'group', 'aria-label': 'view'},
          views.map(([view, [label, key]]) =>
            h(
              'button',
              {
                type: 'button',
                'data-view': view,
                'aria-pressed': String(state.view === view),
                title: `${label} (${key})`,
                onclick: () => go({view}, true),
              },
              label,
            ),
          ),
        )
      : '',
    state.view !== 'side' && sources.length > 2
      ? h(
          'div',
          {class: 'group'},
          sidePicker('left', left),
          h('span', {class: 'hint', text: 'and'}),
          sidePicker('right', right),
        )
      : '',
    state.view === 'side' && choices.length
      ? h(
          'label',
          {class: 'hint'},
          'map ',
          h(
            'select',
            {'data-do': 'map', 'aria-label': 'map', onchange: event => go({map: event.target.value}, true)},
            choices.map(({name}) => h('option', {value: name, selected: name === choice.name}, name)),
          ),
        )
      : '',
  );
  const colours = choice?.change ? '; blue: the error became less, red: more' : '';
  viewer.meaning.textContent =
    state.view === 'side' && choice ? [choice.name, choice.map.meaning].filter(Boolean).join(': ') + colours : '';
}

function noteSources() {
  for (const pane of viewer.panes)
    pane.layers.forEach((layer, i) => {
      if (!layer.side) return;
      const note = pane.labels[i].querySelector('.note');
      note.textContent = sourceNote(layer);
      pane.labels[i].classList.toggle('broken', layer.state === 'failed' || layer.state === 'none');
    });
}

function showScale() {
  viewer.scale.textContent = zoom.look.fitting ? 'fit' : `${Math.round(100 * zoom.look.scale * devicePixelRatio)} %`;
}

// Opening, closing, stepping

const close = () => go({open: null});

/** The image before or after, in the order of the list. */
function step(way) {
  const at = table.rows.indexOf(viewer.row),
    next = table.rows[at + way];
  if (next !== undefined) go({open: next}, true);
}

function showViewer(now, before) {
  const dialog = byId('viewer'),
    row = now.open ?? -1;
  if (row < 0) {
    const was = viewer.row;
    stopViewer();
    if (dialog.open) dialog.close();
    if (was >= 0 && before && before.open !== null) focusRow(table.rows.indexOf(was));
    return;
  }
  if (!dialog.open) {
    dialog.showModal();
    dialog.focus();
  }
  const other = row !== viewer.row || before?.run !== now.run;
  viewer.row = row;
  if (other) openRow(row);
  clearInterval(viewer.blinking);
  viewer.flipped = false;
  if (now.view === 'blink') viewer.blinking = setInterval(flip, BLINK_MS);
  showControls();
  showPanes();
}

function openRow(row) {
  viewer.point = null;
  viewer.readout.textContent = '';
  viewer.name.textContent = data.names[row];
  viewer.name.title = data.names[row];
  const at = table.rows.indexOf(row);
  viewer.place.textContent = at < 0 ? 'not among those shown' : `${at + 1} of ${table.rows.length}`;
  viewer.sources = new Map();
  zoom.look.fitting = true;
  for (const side of data.sides) {
    if (side.key === 'i' && !linkOf(side, row) && !byId(`p${row}-i`)) continue;
    viewer.sources.set(side.key, makeSource(side, row));
  }
  showPanel();
}

function stopViewer() {
  clearInterval(viewer.blinking);
  Object.assign(viewer, {row: -1, sources: new Map(), panes: []});
  viewer.stage.replaceChildren();
}

function flip() {
  viewer.flipped = !viewer.flipped;
  drawPanes();
}

function nextMap() {
  const select = viewer.controls.querySelector('[data-do=map]');
  if (select) go({map: select.options[(select.selectedIndex + 1) % select.options.length].value}, true);
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  '+': () => zoom.by(1.5),
  '=': () => zoom.by(1.5),
  '-': () => zoom.by(1 / 1.5),
  0: () => zoom.fit(),
  1: () => zoom.to(1 / devicePixelRatio),
  s: () => go({view: 'side'}, true),
  l: () => go({view: 'slider'}, true),
  b: () => go({view: 'blink'}, true),
  m: nextMap,
  ' ': () => {
    if (state.view === 'blink') {
      clearInterval(viewer.blinking);
      flip();
    }
  },
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('select, input')) return;
  if (event.key === ' ' && event.target.closest('button, a')) return;
  if (event.shiftKey && event.key.startsWith('Arrow')) {
    event.preventDefault();
    const [dx, dy] = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]}[event.key];
    zoom.pan(dx, dy);
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

function startViewer() {
  makeFrame();
  const dialog = byId('viewer');
  dialog.addEventListener('keydown', pressed);
  dialog.addEventListener('cancel', event => {
    event.preventDefault();
    close();
  });
  new ResizeObserver(perFrame(layOut)).observe(viewer.stage);
}
