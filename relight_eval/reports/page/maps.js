// The maps of the open image: where the error is, and of a comparison, how that changed.

/** What can be chosen: each map, and of a comparison, how each map changed. */
const mapChoices = () =>
  data.maps.flatMap((map, index) => {
    const runs = [...new Set([0, state.run])].filter(run => byId(mapKey(run, index)));
    const others = runs.filter(run => run === state.run && runs[0] === 0 && run > 0);
    return [
      ...(others.length ? [{name: `change of ${map.name}`, map, index, runs: others, change: true}] : []),
      ...(runs.length ? [{name: map.name, map, index, runs}] : []),
    ];
  });

const mapKey = (run, index) => `p${viewer.row}-r${run}-m${index}`;
const chosenChoice = () => mapChoices().find(({name}) => name === state.map) ?? mapChoices()[0];

function chosenMaps() {
  const choice = chosenChoice();
  return choice ? choice.runs.map(run => makeMap(choice, run)) : [];
}

/** A map of a run as colours, worked out when it is first shown. */
function makeMap({map: {low, high}, name, index, change: isChange}, run) {
  const label = data.runs.length > 1 ? `${data.runs[run]}: ${name}` : name;
  const map = {
    label,
    scale: isChange ? {low: low - high, high: high - low, palette: change} : {low, high, palette: magma},
    canvas: null,
  };
  const pictures = [run, ...(isChange ? [0] : [])].map(of => decoded(embedded(mapKey(of, index))));
  Promise.all(pictures).then(
    found => {
      Object.assign(map, coloured(found.map(greyOf), map.scale.palette));
      drawPanes();
    },
    () => {},
  );
  return map;
}

async function decoded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
