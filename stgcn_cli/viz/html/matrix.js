// A confusion matrix that names the cell one points at.
function setUpMatrix(root) {
  const matrix = data.matrices[root.dataset.matrix];
  const count = matrix.names.length;
  const output = make("output", "soft", root, "Point at a cell to read it.");
  const canvas = make("canvas", "", root);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Confusion matrix of " + count + " classes; the table below has the same figures.");
  const cells = new Map(matrix.cells.map(([row, column, clips]) => [row * count + column, clips]));
  let place = { left: 0, top: 0, size: 1 };

  function draw() {
    const named = count <= 40 && root.clientWidth > 30 * 11;
    const margin = named ? Math.min(150, root.clientWidth * 0.32, widest(canvas, matrix.names) + 14) : 26;
    const size = Math.max(1, Math.min(44, (root.clientWidth - margin - 2) / count));
    const [pen] = fitted(canvas, margin + size * count + 2);
    place = { left: margin, top: margin, size };
    pen.font = Math.max(8, Math.min(12, size * 0.72)) + "px system-ui, sans-serif";
    matrix.cells.forEach(([row, column, clips]) => cell(pen, row, column, clips));
    pen.strokeStyle = colour("line");
    pen.strokeRect(margin - 0.5, margin - 0.5, size * count + 1, size * count + 1);
    if (named) names(pen, margin);
    else axes(pen, margin, size * count);
  }

  function cell(pen, row, column, clips) {
    const share = clips / matrix.totals[row];
    const [x, y, size] = [place.left + column * place.size, place.top + row * place.size, place.size];
    pen.fillStyle = "rgba(" + colour("cell") + "," + Math.max(0.06, share).toFixed(3) + ")";
    pen.fillRect(x, y, size, size);
    if (size < 20) return;
    pen.fillStyle = colour(share > 0.55 ? "ground" : "text");
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(clips, x + size / 2, y + size / 2);
  }

  function names(pen, margin) {
    pen.fillStyle = colour("soft");
    pen.textBaseline = "middle";
    matrix.names.forEach((name, index) => {
      const middle = margin + (index + 0.5) * place.size;
      const short = cut(pen, name, margin - 8);
      pen.textAlign = "right";
      pen.fillText(short, margin - 5, middle);
      pen.save();
      pen.translate(middle, margin - 5);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(short, 0, 0);
      pen.restore();
    });
  }

  function axes(pen, margin, length) {
    pen.fillStyle = colour("soft");
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText("predicted", margin + length / 2, margin / 2);
    pen.save();
    pen.translate(margin / 2, margin + length / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText("labelled", 0, 0);
    pen.restore();
  }

  canvas.addEventListener("pointermove", (event) => {
    const column = Math.floor((event.offsetX - place.left) / place.size);
    const row = Math.floor((event.offsetY - place.top) / place.size);
    if (row < 0 || column < 0 || row >= count || column >= count) return;
    const clips = cells.get(row * count + column) || 0;
    const share = matrix.totals[row] ? " (" + ((100 * clips) / matrix.totals[row]).toFixed(1) + " %)" : "";
    const what = row === column ? " are recognised" : " are taken for " + matrix.names[column];
    output.textContent = matrix.names[row] + ": " + clips + " of " + matrix.totals[row] + " clips" + share + what + ".";
  });
  whenResized(root, draw);
  draw();
}

function widest(canvas, names) {
  const pen = canvas.getContext("2d");
  pen.font = "12px system-ui, sans-serif";
  return Math.max(...names.map((name) => pen.measureText(name).width));
}

function cut(pen, words, width) {
  if (pen.measureText(words).width <= width) return words;
  let kept = words;
  while (kept.length > 1 && pen.measureText(kept + "…").width > width) kept = kept.slice(0, -1);
  return kept + "…";
}
