// The pictures of the open image: embedded previews, and the files behind them.

/** The picture of one side of the open row. The file behind a lossy preview is read when single pixels are looked at. */
function makeSource(side, row) {
  return {side, row, label: side.label, image: null, state: 'idle', link: linkOf(side, row)};
}

/** Nothing is loaded before it is looked at. */
function wanted(source) {
  if (source.state !== 'idle') return source;
  const {side, row} = source;
  source.state = 'loading';
  const preview = embedded(`p${row}-${side.key}`);
  if (preview) load(source, preview, 'preview');
  else if (source.link) load(source, source.link, 'original');
  else source.state = 'none';
  return source;
}

async function load(source, address, kind) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    if (kind === 'original') source.failed = true;
    if (!source.image) source.state = 'failed';
    return changedSource(source);
  }
  Object.assign(source, {image, state: kind});
  if (kind === 'preview') Object.assign(source, {preview: image, exact: isLossless(address) && isWhole(image)});
  changedSource(source);
}

/** WebP without loss says so in its first bytes. */
const isLossless = address => atob(address.slice(address.indexOf(',') + 1, address.indexOf(',') + 41)).includes('VP8L');
const isWhole = image => image.naturalWidth === size()[0] && image.naturalHeight === size()[1];

function changedSource(source) {
  if (viewer.sources.get(source.side.key) !== source) return; // of a row that is not open any more
  noteSources();
  if (zoom.look.fitting) zoom.fit();
  drawPanes();
}

/** Which of both is seen: preview or file. */
function sourceNote(source) {
  const {state, exact, failed} = source;
  if (state === 'loading') return 'loading…';
  if (state === 'none')
    return addressOf(source.side, source.row) ? 'not embedded, and not read from its address' : 'there is no such file';
  if (state === 'failed')
    return source.link
      ? 'cannot be shown: the file is not where it was, or the browser does not know its format'
      : 'cannot be shown';
  if (state === 'original') return 'original file';
  if (exact) return 'embedded, exact';
  return failed ? 'embedded preview; the original cannot be loaded' : 'embedded preview';
}

/** Width and height of the open image: as it was scored, or else of what there is of it. */
function size() {
  const [width, height] = data.sizes[viewer.row] ?? [0, 0];
  if (width && height) return [width, height];
  const image = [...viewer.sources.values()].find(source => source.image)?.image;
  return image ? [image.naturalWidth, image.naturalHeight] : [1, 1];
}
