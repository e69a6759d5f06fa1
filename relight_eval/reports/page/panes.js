// Panes: what is looked at, each in its own or two in one, all at the same look.

const drawPanes = perFrame(() => {
  for (const pane of viewer.panes) drawPane(pane);
  showScale();
});
const zoom = makeZoom({
  changed: () => {
    sharpen();
    drawPanes();
  },
  size,
  room: () => viewer.room ?? [1, 1],
});

/** Single pixels of a preview are not those of the file: read it. */
function sharpen() {
  for (const source of viewer.sources.values()) {
    if (source.state !== 'preview' || source.exact || source.asked || !source.link) continue;
    const magnified = (zoom.look.scale * devicePixelRatio * size()[0]) / source.image.naturalWidth;
    if (magnified > 1.5 && !zoom.look.fitting) {
      source.asked = true;
      load(source, source.link, 'original');
    }
  }
}

function showPanes() {
  const sources = [...viewer.sources.values()];
  const [left, right] = heldSides();
  const seen = mainSides()
    .map(side => viewer.sources.get(side.key))
    .filter(Boolean);
  viewer.panes =
    state.view === 'side' || sources.length < 2
      ? seen.map(source => makePane([wanted(source)]))
      : [makePane([wanted(left), wanted(right)])];
  viewer.bars = [];
  const maps = state.view === 'side' ? chosenMaps() : [];
  viewer.panes.splice(data.compared ? 3 : 2, 0, ...maps.map(map => makePane([map])));
  viewer.stage.replaceChildren(...viewer.panes.map(pane => pane.element));
  viewer.stage.dataset.view = state.view;
  layOut();
}

/** A pane shows one layer, or two of which the slider or the blinking tells which. */
function makePane(layers) {
  const canvas = h('canvas', {role: 'img', 'aria-label': layers.map(layer => layer.label).join(' against ')});
  const pane = {layers, canvas, element: null};
  const bar = layers[0].scale ? colourBar(layers[0].scale) : null;
  if (bar) viewer.bars.push({show: bar.show, layer: layers[0]});
  const labels = layers.map(layer =>
    h('span', {class: 'label'}, h('b', {text: layer.label}), h('span', {class: 'note'})),
  );
  pane.labels = labels;
  pane.element = h(
    'figure',
    {class: 'pane'},
    canvas,
    layers.length > 1 && state.view === 'slider' ? makeDivider(pane) : '',
    h('figcaption', {}, labels, bar?.element),
  );
  handPointers(canvas, zoom);
  canvas.addEventListener('pointermove', pointAt);
  canvas.addEventListener('pointerleave', () => showPoint(null));
  return pane;
}

function makeDivider(pane) {
  const divider = h('div', {
    class: 'divider',
    role: 'separator',
    tabindex: 0,
    'aria-orientation': 'vertical',
    'aria-label': 'slider',
    'aria-valuemin': 0,
    'aria-valuemax': 100,
  });
  const set = split => {
    viewer.split = Math.min(Math.max(split, 0), 1);
    divider.setAttribute('aria-valuenow', Math.round(100 * viewer.split));
    drawPanes();
  };
  divider.addEventListener('pointerdown', event => {
    divider.setPointerCapture(event.pointerId);
    event.preventDefault();
    divider.focus();
  });
  divider.addEventListener('pointermove', event => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = pane.canvas.getBoundingClientRect();
    set((event.clientX - box.left) / box.width);
  });
  divider.addEventListener('keydown', event => {
    const to = {ArrowLeft: viewer.split - 0.02, ArrowRight: viewer.split + 0.02, Home: 0, End: 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    set(to);
  });
  pane.divider = divider;
  set(viewer.split);
  return divider;
}

/** As many rows and columns of panes as make the image largest. */
function layOut() {
  const {clientWidth: across, clientHeight: down} = viewer.stage,
    [width, height] = size();
  const n = viewer.panes.length,
    gap = 6;
  if (!n || !across) return;
  const scaleOf = cols => Math.min((across / cols - gap) / width, (down / Math.ceil(n / cols) - gap - 26) / height);
  const cols = Array.from({length: n}, (_, i) => i + 1).reduce(
    (best, cols) => (scaleOf(cols) > scaleOf(best) * 1.02 ? cols : best),
    1,
  );
  viewer.stage.style.gridTemplateColumns = `repeat(${cols}, minmax(0, 1fr))`;
  for (const {canvas} of viewer.panes) {
    canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
  }
  viewer.room = [viewer.panes[0].canvas.clientWidth, viewer.panes[0].canvas.clientHeight];
  noteSources();
  zoom.refit();
}

function drawPane(pane) {
  const {canvas, layers} = pane,
    context = canvas.getContext('2d');
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (layers.length === 1) drawLayer(context, layers[0]);
  else if (state.view === 'blink') drawLayer(context, layers[viewer.flipped ? 1 : 0]);
  else drawHalves(pane, context);
  if (state.view === 'blink')
    pane.labels.forEach((label, i) =>
      label.classList.toggle('away', layers.length > 1 && (i === 1) !== viewer.flipped),
    );
  if (viewer.point) drawCross(context);
}

function drawHalves({canvas, layers, divider, labels}, context) {
  const at = Math.round(viewer.split * canvas.width);
  [
    [0, at],
    [at, canvas.width - at],
  ].forEach(([from, width], i) => {
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.beginPath();
    context.rect(from, 0, width, canvas.height);
    context.clip();
    drawLayer(context, layers[i]);
    context.restore();
  });
  divider.style.left = `${100 * viewer.split}%`;
  labels[0].classList.toggle('away', viewer.split < 0.12);
  labels[1].classList.toggle('away', viewer.split > 0.88);
}

/** The picture where the look puts it; its single pixels as squares once they are large enough to be told apart. */
function drawLayer(context, layer) {
  const picture = layer.canvas ?? layer.image;
  if (!picture) return;
  const [width, height] = size();
  placeLook(context);
  const own = picture.naturalWidth ?? picture.width;
  context.imageSmoothingEnabled = (zoom.look.scale * devicePixelRatio * width) / own < 2;
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture, 0, 0, width, height);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

function placeLook(context) {
  const scale = zoom.look.scale * devicePixelRatio,
    {width, height} = context.canvas;
  context.setTransform(
    scale,
    0,
    0,
    scale,
    Math.round(width / 2 - zoom.look.x * scale),
    Math.round(height / 2 - zoom.look.y * scale),
  );
}

/** The pixel under the pointer, marked in every pane. */
function drawCross(context) {
  const scale = zoom.look.scale * devicePixelRatio,
    [x, y] = viewer.point;
  placeLook(context);
  context.lineWidth = Math.max(1 / scale, 0.02);
  const least = 5 / scale,
    edge = Math.max(0.5, least);
  for (const [colour, grow] of [
    ['#000', 1.2 / scale],
    ['#fff', 0],
  ]) {
    context.strokeStyle = colour;
    context.strokeRect(x + 0.5 - edge - grow, y + 0.5 - edge - grow, 2 * (edge + grow), 2 * (edge + grow));
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
}

// The pixel under the pointer

function pointAt(event) {
  const box = event.currentTarget.getBoundingClientRect(),
    [width, height] = size();
  const x = Math.floor(zoom.look.x + (event.clientX - box.left - box.width / 2) / zoom.look.scale);
  const y = Math.floor(zoom.look.y + (event.clientY - box.top - box.height / 2) / zoom.look.scale);
  showPoint(x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null);
}

function showPoint(point) {
  viewer.point = point;
  const parts = point ? [`x ${point[0]}  y ${point[1]}`] : [];
  for (const source of point ? viewer.sources.values() : []) {
    const colour = colourAt(source, point);
    if (colour) parts.push(`${source.label} ${source.exact ? '' : '≈ '}${colour.join(' ')}`);
  }
  for (const {show, layer} of viewer.bars) {
    const value = point ? mapValue(layer, point) : null;
    show(value);
    if (value !== null) parts.push(`${layer.label} ${value.toPrecision(3)}`);
  }
  viewer.readout.textContent = parts.join('    ');
  drawPanes();
}

/** Red, green and blue of a pixel of what is embedded: a page from disk may show a file, but not read it. */
function colourAt(source, point) {
  if (!source.preview) return null;
  source.pixels ??= pixelsOf(source.preview);
  return [...valueAt(source.pixels.data, source.pixels.width, source.pixels.height, 4, point)];
}

function pixelsOf(image) {
  const canvas = h('canvas', {width: image.naturalWidth, height: image.naturalHeight});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function mapValue(map, point) {
  if (!map.canvas) return null;
  const [level] = valueAt(map.levels, map.canvas.width, map.canvas.height, 1, point);
  return map.scale.low + level * (map.scale.high - map.scale.low);
}

function valueAt(values, width, height, channels, [x, y]) {
  const [across, down] = size();
  const at = Math.floor((y * height) / down) * width + Math.floor((x * width) / across);
  return values.subarray(at * channels, at * channels + Math.min(channels, 3));
}
