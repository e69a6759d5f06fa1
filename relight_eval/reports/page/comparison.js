// What only the page of a comparison has: which run is looked at, the trend, and every image in two runs.

const NEAR = 24; // pixels from the pointer within which an image is meant

function startComparison() {
  const choices = data.runs.map((label, run) => [label, run]).slice(1),
    select = byId('run');
  select.hidden = choices.length < 2;
  select.append(
    ...choices.map(([label, run]) =>
      h('option', {value: run, selected: run === state.run}, `${label} against ${data.runs[0]}`),
    ),
  );
  select.addEventListener('change', event => go({run: Number(event.target.value), sort: 'worst'}));
  const draw = perFrame(drawPlots);
  draw();
  onState((now, before) => {
    if (now.run !== before.run || now.all !== before.all) {
      select.value = now.run;
      draw();
    }
  });
  addEventListener('resize', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  new MutationObserver(draw).observe(document.documentElement, {attributeFilter: ['data-theme']});
}

/** Anew: their colours and sizes are part of them. */
function drawPlots() {
  byId('trends')?.replaceChildren(...data.trends.map(trend => trendPlot(trend, plotWidth(data.trends.length))));
  const shown = columns.filter(column => column.run === state.run && isShown(column) && merits(column).length);
  byId('scatters').replaceChildren(...shown.map(column => scatterPlot(column, plotWidth(shown.length))));
}

/** The colour of the style sheet of this name, as a canvas takes it. */
function colourOf(name) {
  const probe = h('i', {style: `color: var(--${name})`});
  document.body.append(probe);
  const {color} = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** How wide plots are, of which there are so many: as many in a line as have room to be read. */
function plotWidth(plots) {
  const room =
    document.querySelector('main').clientWidth -
    2 * parseFloat(getComputedStyle(document.querySelector('main')).paddingLeft);
  const gap = 28,
    across = Math.max(1, Math.min(plots, Math.floor((room + gap) / (280 + gap))));
  return Math.min(430, Math.floor((room - gap * (across - 1)) / across));
}

function figure(title, said, place) {
  return h(
    'figure',
    {class: 'plot'},
    h('figcaption', {}, h('b', {text: title}), h('span', {class: 'hint', text: said})),
    place,
  );
}

function plot(title, said, options, values) {
  const place = h('div', {class: 'plot-place'});
  const element = figure(title, said, place);
  const axis = {
    stroke: colourOf('dim'),
    grid: {stroke: colourOf('line'), width: 1},
    ticks: {show: false},
    font: '11px system-ui',
  };
  new uPlot(
    {
      legend: {show: false},
      ...options,
      axes: [
        {...axis, size: 28, ...options.x},
        {...axis, size: 56, ...options.y},
      ],
    },
    values,
    place,
  );
  return element;
}

function trendPlot({column, arrow, said, steps, means, low, high}, width) {
  const accent = colourOf('accent');
  const line = {stroke: accent, width: 2, points: {show: true, size: 6, fill: accent}},
    edge = {stroke: 'transparent', points: {show: false}};
  const fill = accent.replace('rgb', 'rgba').replace(')', ', 0.15)');
  return plot(
    `${column} ${arrow}`,
    said,
    {
      width,
      height: 190,
      scales: {x: {time: false}},
      cursor: {show: false},
      series: [{}, line, edge, edge],
      bands: [{series: [2, 3], fill}],
    },
    [steps, means, high, low].map(values => values.map(numeric)),
  );
}

const numeric = value => (value === null ? null : Number(value));

/** The images by their score in the baseline, across, and in the run that is looked at, up. */
function scatterPlot(column, width) {
  const [before, after] = [0, state.run].map(run => data.absolute[column.of][run].map(numeric));
  const rows = before
    .map((_, row) => row)
    .filter(
      row => Number.isFinite(before[row]) && before[row] !== null && Number.isFinite(after[row]) && after[row] !== null,
    )
    .sort((a, b) => before[a] - before[b]);
  if (!rows.length)
    return figure(`${column.label} ${column.arrow}`, 'no image has a finite score in both runs', '');
  const x = rows.map(row => before[row]),
    y = rows.map(row => after[row]);
  const low = [x, y].flat().reduce((a, b) => Math.min(a, b), Infinity),
    high = [x, y].flat().reduce((a, b) => Math.max(a, b), -Infinity),
    spare = (high - low || 1) * 0.04,
    range = [low - spare, high + spare];
  const accent = colourOf('accent'),
    tip = h('span', {class: 'tip', hidden: true});
  const nearest = chart => nearestPoint(chart, x, y);
  const dots = {
    stroke: accent,
    paths: () => null,
    points: {
      show: true,
      size: rows.length > 500 ? 4 : 7,
      fill: accent.replace('rgb', 'rgba').replace(')', ', 0.55)'),
      stroke: 'transparent',
      width: 0,
      filter: () => null,
    },
  };
  const move = chart => {
    const at = nearest(chart);
    tip.hidden = at < 0;
    chart.over.style.cursor = at < 0 ? 'default' : 'pointer';
    if (at < 0) return;
    tip.textContent = `${data.names[rows[at]]}  ${number(x[at])} → ${number(y[at])}`;
    tip.style.top = `${chart.valToPos(y[at], 'y') - 26}px`;
    Object.assign(
      tip.style,
      chart.valToPos(x[at], 'x') > chart.over.clientWidth / 2
        ? {left: '', right: `${chart.over.clientWidth - chart.valToPos(x[at], 'x')}px`}
        : {right: '', left: `${chart.valToPos(x[at], 'x')}px`},
    );
  };
  const ready = chart => {
    chart.over.append(tip);
    chart.over.addEventListener('mousemove', () => move(chart));
    chart.over.addEventListener('mouseleave', () => {
      tip.hidden = true;
    });
    chart.over.addEventListener('click', () => {
      const at = nearest(chart);
      if (at >= 0) go({open: rows[at]});
    });
  };
  const element = plot(
    `${column.label} ${column.arrow}`,
    `${data.runs[0]} across, ${data.runs[state.run]} up`,
    {
      width,
      height: Math.min(width, 300),
      scales: {x: {time: false, range}, y: {range}},
      cursor: {x: false, y: false, points: {show: false}, drag: {x: false, y: false}},
      hooks: {ready: [ready], drawAxes: [drawDiagonal]},
      series: [{}, dots],
    },
    [x, y],
  );
  element.dataset.scatter = column.label;
  return element;
}

/** The place of the point that is nearest to the pointer; -1 where none is near. */
function nearestPoint(chart, x, y) {
  const {left, top} = chart.cursor;
  let best = -1,
    least = NEAR ** 2;
  for (let i = 0; i < x.length; i++) {
    const away = (chart.valToPos(x[i], 'x') - left) ** 2 + (chart.valToPos(y[i], 'y') - top) ** 2;
    if (away < least) [best, least] = [i, away];
  }
  return best;
}

function drawDiagonal(chart) {
  const {
    ctx,
    scales: {x},
  } = chart;
  ctx.save();
  ctx.strokeStyle = colourOf('bar');
  ctx.beginPath();
  ctx.moveTo(chart.valToPos(x.min, 'x', true), chart.valToPos(x.min, 'y', true));
  ctx.lineTo(chart.valToPos(x.max, 'x', true), chart.valToPos(x.max, 'y', true));
  ctx.stroke();
  ctx.restore();
}
