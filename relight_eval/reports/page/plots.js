// Small drawings of how a column is distributed.

const BINS = [8, 24]; // at least, at most

/** The bars of a column: [{low, high, count}], those of infinite scores at the ends. */
function bins(column) {
  column.bins ??= makeBins(column.scores.filter(score => !Number.isNaN(score)));
  return column.bins;
}

function makeBins(scores) {
  const finite = scores.filter(Number.isFinite),
    infinite = scores.length - finite.length;
  const bars = [];
  if (finite.length) {
    const most = Math.min(Math.max(Math.ceil(2 * Math.sqrt(finite.length)), BINS[0]), BINS[1]);
    const low = finite.reduce((a, b) => Math.min(a, b)),
      high = finite.reduce((a, b) => Math.max(a, b));
    const edge = i => (i === most ? high : low + ((high - low) * i) / most);
    const counts = new Int32Array(high > low ? most : 1);
    for (const score of finite)
      counts[high > low ? Math.min(most - 1, Math.floor(((score - low) / (high - low)) * most)) : 0]++;
    counts.forEach((n, i) => bars.push({low: edge(i), high: counts.length === 1 ? high : edge(i + 1), count: n}));
  }
  for (const end of infinite ? [-Infinity, Infinity] : []) {
    const n = scores.filter(score => score === end).length;
    if (n) bars.splice(end < 0 ? 0 : bars.length, 0, {low: end, high: end, count: n, apart: true});
  }
  return bars;
}

/** Where a score stands in the drawing, 0 to 1; NaN for a number where there are only infinite ones. */
function placeOf(column, score) {
  const bars = bins(column),
    finite = bars.filter(bar => !bar.apart);
  if (Number.isFinite(score) && !finite.length) return NaN;
  if (!Number.isFinite(score)) return (score > 0 ? bars.length - 0.5 : 0.5) / bars.length;
  const low = finite[0].low,
    high = finite[finite.length - 1].high;
  return (bars.indexOf(finite[0]) + (high > low ? (score - low) / (high - low) : 0.5) * finite.length) / bars.length;
}

/** Bars in a box of 100 by 100, stretched by the style sheet to the room there is. */
function barShapes(column) {
  const bars = bins(column),
    most = Math.max(...bars.map(bar => bar.count)),
    width = 100 / Math.max(bars.length, 1);
  return bars.map((bar, i) => {
    const height = bar.count ? Math.max(4, (100 * bar.count) / most) : 0;
    return svg('rect', {class: 'bar', x: i * width + width * 0.06, width: width * 0.88, y: 100 - height, height});
  });
}

/** Of changes, where there is none. */
function zeroLine(column) {
  const at = column.signed ? placeOf(column, 0) * 100 : -1;
  return at >= 0 && at <= 100 ? svg('line', {class: 'zero', x1: at, x2: at, y1: 0, y2: 100}) : null;
}

/** The histogram of the table of scores: a click on a bar, or the arrow keys, choose the images in it. */
function histogram(column) {
  const bars = bins(column),
    width = 100 / bars.length;
  const word = bar => `bin:${column.name}:${bar.low}:${bar.high}`;
  const hits = bars.map((bar, i) =>
    svg(
      'rect',
      {
        class: 'hit',
        x: i * width,
        width,
        y: 0,
        height: 100,
        onclick: () => {
          if (bar.count) toggle(word(bar));
        },
      },
      svg('title', {
        text: `${bar.low === bar.high ? told(column, bar.low) : `${told(column, bar.low)} to ${told(column, bar.high)}`}: ${counted(bar.count, 'image')}`,
      }),
    ),
  );
  const shapes = barShapes(column);
  const step = event => {
    const way = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!way) return;
    event.preventDefault();
    const now = bars.findIndex(bar => state.f.includes(word(bar)));
    let next = now < 0 ? (way > 0 ? 0 : bars.length - 1) : now + way;
    while (bars[next] && !bars[next].count) next += way;
    if (bars[next]) toggle(word(bars[next]));
  };
  const drawing = svg(
    'svg',
    {
      viewBox: '0 0 100 100',
      preserveAspectRatio: 'none',
      class: 'histogram',
      tabindex: 0,
      role: 'img',
      'aria-label': `distribution of ${column.label}; the arrow keys choose a bar`,
      onkeydown: step,
    },
    shapes,
    zeroLine(column),
    hits,
  );
  const mark = () => bars.forEach((bar, i) => shapes[i].classList.toggle('chosen', state.f.includes(word(bar))));
  onState(mark);
  mark();
  return drawing;
}

/** The distribution with a marker: where one image stands among all. */
function strip(column, score) {
  const at = placeOf(column, score) * 100;
  return svg(
    'svg',
    {
      viewBox: '0 0 100 100',
      preserveAspectRatio: 'none',
      class: 'strip',
      role: 'img',
      'aria-label': standingWords(column, score),
    },
    barShapes(column),
    zeroLine(column),
    svg('line', {class: 'marker', x1: at, x2: at, y1: 0, y2: 100}),
  );
}

/** `worse than 93 %`: where an image stands among all. */
function standingWords(column, score) {
  const total = merits(column).length;
  if (total < 2) return '';
  const share = standing(column, score),
    what = column.signed ? ' change' : '';
  if (column.better === 'none') return `higher than ${percent(1 - share)}`;
  if (share === 0) return `the worst${what}`;
  if (share === 1) return `the best${what}`;
  return share < 0.5 ? `worse than ${percent(1 - share)}` : `better than ${percent(share)}`;
}

const percent = share => `${Math.round(100 * share)} %`;
