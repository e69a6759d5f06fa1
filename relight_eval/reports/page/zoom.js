// One look at all panes: the same pixel in the middle of each, at the same size. Wheel, drag, two fingers, keys.

const MOST = 64; // screen pixels of one image pixel

/** `changed` is called when the look has changed; `size()` is [width, height] of the image, `room()` of a pane. */
function makeZoom({changed, size, room}) {
  const look = {scale: 1, x: 0, y: 0, fitting: true};

  const fitScale = () => {
    const [width, height] = size(),
      [across, down] = room();
    return Math.max(Math.min(across / width, down / height), 1e-3);
  };

  /** Keeps the image in reach, and the scale between "all of it" and "single pixels". */
  function settle() {
    const [width, height] = size(),
      least = Math.min(fitScale(), 1);
    look.scale = Math.min(Math.max(look.scale, least), MOST);
    look.x = Math.min(Math.max(look.x, 0), width);
    look.y = Math.min(Math.max(look.y, 0), height);
    changed();
  }

  function fit() {
    const [width, height] = size();
    Object.assign(look, {scale: fitScale(), x: width / 2, y: height / 2, fitting: true});
    changed();
  }

  /** Zoom so that the point of the pane stays where it is; `at` is from the middle of the pane. */
  function by(factor, at = [0, 0]) {
    const before = look.scale;
    look.fitting = false;
    look.scale = Math.min(Math.max(before * factor, Math.min(fitScale(), 1)), MOST);
    look.x += at[0] / before - at[0] / look.scale;
    look.y += at[1] / before - at[1] / look.scale;
    settle();
  }

  function pan(dx, dy) {
    look.fitting = false;
    look.x -= dx / look.scale;
    look.y -= dy / look.scale;
    settle();
  }

  /** To pixels of the image as they are, or to a number of screen pixels for each. */
  const to = (scale, at) => by(scale / look.scale, at);

  return {
    look,
    fit,
    by,
    pan,
    to,
    refit: () => {
      if (look.fitting) fit();
      else settle();
    },
  };
}

/** Listens on an element for wheel, drag, pinch and double click. */
function handPointers(element, zoom) {
  const fingers = new Map();
  const middle = event => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return {length: Math.hypot(a[0] - b[0], a[1] - b[1]), at: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]};
  };
  element.addEventListener(
    'wheel',
    event => {
      event.preventDefault();
      const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
      zoom.by(Math.exp(-Math.max(-120, Math.min(120, pixels)) * 0.0035), middle(event));
    },
    {passive: false},
  );
  element.addEventListener('pointerdown', event => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, middle(event));
  });
  element.addEventListener('pointermove', event => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.get(event.pointerId),
      now = middle(event);
    const two = fingers.size === 2 ? spread() : null;
    fingers.set(event.pointerId, now);
    if (two) {
      const after = spread();
      zoom.pan(after.at[0] - two.at[0], after.at[1] - two.at[1]);
      zoom.by(after.length / Math.max(two.length, 1), after.at);
    } else if (fingers.size === 1) zoom.pan(now[0] - before[0], now[1] - before[1]);
  });
  const lift = event => fingers.delete(event.pointerId);
  element.addEventListener('pointerup', lift);
  element.addEventListener('pointercancel', lift);
  element.addEventListener('dblclick', event => {
    if (zoom.look.fitting) zoom.to(4, middle(event));
    else zoom.fit();
  });
}
