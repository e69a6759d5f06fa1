// Maps come as grey, 0 to 255, and are coloured here; the same colour is the same error in every image.

const magma = data.magma.match(/.{6}/g).map(hex => [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16)));

// Of changes: black where there is none, light blue where the error became less, light red where it became more.
const change = blended([
  [140, 196, 255],
  [30, 96, 180],
  [12, 12, 14],
  [178, 48, 40],
  [255, 184, 168],
]);

/** 256 colours by way of these, in equal steps. */
function blended(stops) {
  return Array.from({length: 256}, (_, i) => {
    const at = (i / 255) * (stops.length - 1),
      k = Math.min(Math.floor(at), stops.length - 2);
    return stops[k].map((from, c) => Math.round(from + (stops[k + 1][c] - from) * (at - k)));
  });
}

/** The grey values of a picture, 0 to 1. */
function greyOf(image) {
  const canvas = h('canvas', {width: image.naturalWidth, height: image.naturalHeight});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const {data: pixels, width, height} = context.getImageData(0, 0, canvas.width, canvas.height);
  return {width, height, levels: Float32Array.from({length: width * height}, (_, i) => pixels[4 * i] / 255)};
}

/** One map, or the first less the second, as a canvas of colours, with its levels, 0 to 1, kept to be read. */
function coloured([map, before], palette) {
  const {width, height} = map;
  const levels = before ? map.levels.map((level, i) => (level - before.levels[i] + 1) / 2) : map.levels;
  const canvas = h('canvas', {width, height}),
    context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height),
    words = new Uint32Array(pixels.data.buffer);
  const wordOf = Uint32Array.from(palette, ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r);
  levels.forEach((level, i) => {
    words[i] = wordOf[Math.round(level * 255)];
  });
  context.putImageData(pixels, 0, 0);
  return {canvas, levels};
}

/** The scale of a map: its two ends in numbers, and a marker for the value under the pointer. */
function colourBar({low, high, palette}) {
  const canvas = h('canvas', {width: palette.length, height: 1, 'aria-hidden': 'true'});
  const context = canvas.getContext('2d');
  palette.forEach((colour, i) => {
    context.fillStyle = `rgb(${colour.join(' ')})`;
    context.fillRect(i, 0, 1, 1);
  });
  const marker = h('i', {class: 'tick', hidden: true});
  const element = h(
    'span',
    {class: 'colour-bar'},
    h('span', {text: short(low)}),
    h('span', {class: 'ramp'}, canvas, marker),
    h('span', {text: short(high)}),
  );
  const show = value => {
    marker.hidden = value === null;
    if (value !== null) marker.style.left = `${(100 * (value - low)) / (high - low)}%`;
  };
  return {element, show};
}

/** A number with three digits that count. */
const short = value => String(Number(value.toPrecision(3)));
