// A player of skeletons: turned by dragging, scrubbed, played.
function unpacked(clip) {
  const bytes = Uint8Array.from(atob(clip.points), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const points = new Float32Array(bytes.length / 2);
  for (let i = 0; i < points.length; i++) {
    const whole = view.getInt16(2 * i, true);
    points[i] = whole === -32768 ? NaN : whole / 32000;
  }
  return points;
}

class Player {
  constructor(root, clip) {
    [this.root, this.clip] = [root, clip];
    [this.frames, this.persons, this.joints, this.size] = clip.shape;
    this.points = unpacked(clip);
    this.turns = this.size === 3;
    this.frame = 0;
    this.isPlaying = false;
    this.reset();
    this.measure();
    this.build();
    whenResized(this.canvas, () => this.draw());
    this.show(0);
    if ("plays" in root.dataset && !calm.matches) this.play(true);
  }

  reset() {
    this.azimuth = this.clip.azimuth;
    this.elevation = this.clip.elevation;
  }

  // the largest extents over the whole clip, whichever way it is turned, so that the view does not jump
  measure() {
    let [wide, high] = [0.01, 0.01];
    const lows = new Array(this.frames).fill(1);  // the lowest joint of each frame
    const values = this.persons * this.joints * this.size;
    for (let i = 0; i < this.points.length; i += this.size) {
      const up = this.points[i + this.size - 1];
      const across = this.turns ? Math.hypot(this.points[i], this.points[i + 1]) : Math.abs(this.points[i]);
      if (across > wide) wide = across;
      if (Math.abs(up) > high) high = Math.abs(up);
      const frame = Math.floor(i / values);
      if (up < lows[frame]) lows[frame] = up;
    }
    lows.sort((a, b) => a - b);
    [this.wide, this.high, this.low] = [wide, high, lows[this.frames >> 1]];  // where the feet mostly are
  }

  build() {
    const root = this.root;
    root.textContent = "";
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Player of the clip " + this.clip.name + ". Space plays, arrows step.");
    root.classList.toggle("turns", this.turns);
    this.canvas = make("canvas", "", root);
    const controls = make("div", "controls", root);
    this.button = make("button", "play", controls, "Play");
    this.button.type = "button";
    this.slider = make("input", "", controls);
    Object.assign(this.slider, { type: "range", min: 0, max: Math.max(0, this.frames - 1), value: 0 });
    this.slider.setAttribute("aria-label", "Frame");
    this.speed = make("select", "", controls);
    this.speed.setAttribute("aria-label", "Speed");
    for (const times of [0.25, 0.5, 1, 2]) {
      const option = make("option", "", this.speed, times + "×");
      option.value = times;
      option.selected = times === 1;
    }
    if (this.clip.joints.length && root.closest(".beside")) {
      const label = make("label", "", controls);
      this.named = make("input", "", label);
      this.named.type = "checkbox";
      label.append(" joint names");
      this.named.addEventListener("change", () => this.draw());
    }
    this.output = make("output", "", controls);
    this.listen();
  }

  listen() {
    this.button.addEventListener("click", () => this.play(!this.isPlaying));
    this.slider.addEventListener("input", () => { this.play(false); this.show(+this.slider.value); });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("pointerdown", (event) => { this.held = [event.clientX, event.clientY]; this.canvas.setPointerCapture(event.pointerId); });
    this.canvas.addEventListener("pointermove", (event) => this.turn(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { this.held = null; });
    this.canvas.addEventListener("dblclick", () => { this.reset(); this.draw(); });
  }

  key(event) {
    if (event.target === this.speed || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === " ") {
      if (event.target === this.named) return;
      this.play(!this.isPlaying);
    } else if (event.key in steps) {
      this.play(false);
      this.show((this.frame + steps[event.key] + this.frames) % this.frames);
    } else if (event.key === "Home" || event.key === "End") {
      this.play(false);
      this.show(event.key === "Home" ? 0 : this.frames - 1);
    } else return;
    event.preventDefault();
  }

  turn(event) {
    if (!this.held || !this.turns) return;
    this.azimuth += (event.clientX - this.held[0]) * 0.6;
    this.elevation = Math.max(-89, Math.min(89, this.elevation + (event.clientY - this.held[1]) * 0.5));
    this.held = [event.clientX, event.clientY];
    this.draw();
  }

  play(wanted) {
    if (this.isPlaying === wanted || this.frames < 2) return;
    this.isPlaying = wanted;
    this.button.textContent = wanted ? "Pause" : "Play";
    if (!wanted) return;
    let [before, behind] = [performance.now(), 0];
    const next = (now) => {
      if (!this.isPlaying) return;
      behind += ((now - before) / 1000) * (this.clip.rate / this.clip.step) * +this.speed.value;
      before = now;
      const steps = Math.floor(behind);
      behind -= steps;
      if (steps) this.show((this.frame + steps) % this.frames);
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  show(frame) {
    this.frame = frame;
    this.slider.value = frame;
    this.root.dataset.frame = frame;
    const place = frame * this.clip.step;
    const last = (this.frames - 1) * this.clip.step;
    this.output.textContent = "frame " + (place + 1) + " of " + (last + 1) + ", " + (place / this.clip.rate).toFixed(2) + " s";
    this.draw();
  }

  // right, up and towards the viewer, as stgcn_cli/viz/skeleton.py projects
  seen(x, y, z) {
    const [ca, sa, ce, se] = this.angles;
    const near = -x * sa + y * ca;
    return [-x * ca - y * sa, z * ce - near * se, near * ce + z * se];
  }

  draw() {
    const [pen, width, height] = fitted(this.canvas);
    if (!width) return;
    const [a, e] = [this.azimuth * (Math.PI / 180), this.elevation * (Math.PI / 180)];
    this.angles = [Math.cos(a), Math.sin(a), Math.cos(e), Math.sin(e)];
    const tall = this.turns ? this.high * Math.abs(this.angles[2]) + this.wide * Math.abs(this.angles[3]) : this.high;
    const scale = 0.92 * Math.min(width / 2 / this.wide, height / 2 / tall);
    const at = ([x, y]) => [width / 2 + x * scale, height / 2 - y * scale];
    if (this.turns && this.persons) this.floor(pen, at);
    if (!this.persons) {
      pen.fillStyle = colour("soft");
      pen.textAlign = "center";
      pen.font = "14px system-ui, sans-serif";
      pen.fillText("Nobody is in this clip.", width / 2, height / 2);
    }
    const thick = Math.max(1.5, Math.min(width, height) / 110);
    for (const person of this.order()) this.person(pen, person.places, this.clip.colours[person.index], at, thick);
  }

  // the persons, the farther first
  order() {
    const all = [];
    for (let index = 0; index < this.persons; index++) {
      const places = [];
      let [near, count] = [0, 0];
      for (let joint = 0; joint < this.joints; joint++) {
        const i = ((this.frame * this.persons + index) * this.joints + joint) * this.size;
        const [x, y] = [this.points[i], this.points[i + 1]];
        places.push(this.turns ? this.seen(x, y, this.points[i + 2]) : [x, y, 0]);
        if (!Number.isNaN(x)) { near += places[joint][2]; count++; }
      }
      all.push({ index, places, near: count ? near / count : 0 });
    }
    return all.sort((one, other) => one.near - other.near);
  }

  person(pen, places, colours, at, thick) {
    const bones = this.clip.bones.map(([i, j], index) => ({ i, j, side: this.clip.sides[index], near: places[i][2] + places[j][2] }));
    pen.lineCap = "round";
    pen.lineWidth = thick;
    for (const bone of bones.sort((one, other) => one.near - other.near)) {
      const [from, to] = [at(places[bone.i]), at(places[bone.j])];
      if (Number.isNaN(from[0]) || Number.isNaN(to[0])) continue;
      pen.strokeStyle = colours[bone.side];
      pen.beginPath();
      pen.moveTo(...from);
      pen.lineTo(...to);
      pen.stroke();
    }
    pen.fillStyle = colours[""];
    places.forEach((place, joint) => {
      const [x, y] = at(place);
      if (Number.isNaN(x)) return;
      pen.beginPath();
      pen.arc(x, y, thick * 0.75, 0, 7);
      pen.fill();
      if (this.named && this.named.checked) this.name(pen, joint, x, y);
    });
  }

  name(pen, joint, x, y) {
    pen.save();
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "left";
    pen.fillStyle = colour("text");
    pen.fillText(this.clip.joints[joint] || joint, x + 5, y - 4);
    pen.restore();
  }

  floor(pen, at) {
    pen.strokeStyle = colour("floor");
    pen.lineWidth = 1;
    const [reach, lines] = [this.wide, 4];
    for (let i = -lines; i <= lines; i++) {
      const far = (i / lines) * reach;
      for (const [from, to] of [[[far, -reach], [far, reach]], [[-reach, far], [reach, far]]]) {
        pen.beginPath();
        pen.moveTo(...at(this.seen(...from, this.low)));
        pen.lineTo(...at(this.seen(...to, this.low)));
        pen.stroke();
      }
    }
  }
}
