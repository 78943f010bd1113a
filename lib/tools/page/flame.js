// The flame graph. The library draws, and it is given only the frames that are wide enough to see at the current zoom:
// a few thousand at most, whatever the size of the report.

class Flame {
  constructor(element, model, on) {
    this.element = element;
    this.model = model;
    this.on = on;  // focus(node), choose(node), hover(text)
    this.leastPixels = 1;
    this.focus = 0;
    this.found = null;
    this.chart = flameGraphLibrary.flamegraph()
      .cellHeight(19).inverted(true).transitionDuration(0).resetHeightOnZoom(true).minHeight(60)
      .setLabelHandler((d) => this.textOf(d.data.node))
      .setColorMapper((d) => this.colorOf(d.data.node))
      .onClick((d) => this.zoom(d.data.node))
      .onHover((d) => on.hover(this.textOf(d.data.node)));
    element.addEventListener('keydown', (event) => this.key(event));
    element.addEventListener('focusin', (event) => {
      const d = event.target.__data__;
      if (d && d.data) on.hover(this.textOf(d.data.node));
    });
  }

  show(withLibrary, measure) {
    const path = this.callsOf(this.focus);
    this.withLibrary = withLibrary;
    this.tree = this.model.tree(withLibrary);
    this.weights = this.model.weigh(withLibrary, measure);
    this.focus = this.follow(path);
    this.draw();
  }

  // From one tree to the other: as far along the same calls as they go.
  callsOf(node) {
    const calls = [];
    for (let n = node; this.tree && n > 0; n = this.tree.parent[n]) calls.push(this.tree.call[n]);
    return calls.reverse();
  }

  follow(calls) {
    let node = 0;
    for (const call of calls) {
      let child = this.tree.first[node];
      while (child >= 0 && this.tree.call[child] !== call) child = this.tree.next[child];
      if (child >= 0) node = child;
    }
    return node;
  }

  zoom(node) {
    this.focus = node;
    this.draw();
    this.on.focus(node);
  }

  nameOf(node) { return node === 0 ? 'all' : this.model.functionOf(this.tree.call[node]); }

  // The line tells two calls of one function apart.
  labelOf(node) {
    if (node === 0) return 'all';
    const call = this.tree.call[node], line = this.model.lineOf(call);
    return tailOf(this.model.shortNameOf(call)) + (line ? `:${line}` : '');
  }

  textOf(node) {
    const w = this.weights;
    let text = this.nameOf(node);
    if (node > 0) {
      const place = this.model.placeOf(this.tree.call[node]);
      if (place !== text) text += ` ${place}`;
    }
    text += `: ${sizeText(w.now[node])}`;
    if (w.before) text += ` (${sizeText(w.now[node] - w.before[node], true)}, before ${sizeText(w.before[node])})`;
    return `${text}, ${percent(w.now[node], w.now[0])}`;
  }

  colorOf(node) {
    const dark = document.documentElement.dataset.theme === 'dark';
    const call = this.tree.call[node];
    if (this.found && node > 0 && this.found.calls[call]) return dark ? '#a3429b' : '#f08de6';
    const w = this.weights;
    if (w.before) {
      const change = w.width[node] ? (w.now[node] - w.before[node]) / w.width[node] : 0;
      const strength = Math.min(1, Math.abs(change));
      if (strength < 0.005) return dark ? '#3a414c' : '#e3e6ea';
      const hue = change > 0 ? 4 : 215;
      return dark ? `hsl(${hue} ${25 + 45 * strength}% ${30 + 12 * strength}%)` : `hsl(${hue} ${40 + 50 * strength}% ${90 - 22 * strength}%)`;
    }
    if (node === 0 || this.model.isLibrary(call)) return dark ? '#3a414c' : '#e3e6ea';
    // One hue a file, a shade a function.
    const {file, shade} = this.model.hues(call);
    return dark ? `hsl(${file % 360} 38% ${30 + shade}%)` : `hsl(${file % 360} 62% ${74 + shade}%)`;
  }

  visible() {
    const t = this.tree, width = this.weights.width;
    const least = width[this.focus] * this.leastPixels / this.pixels;
    const build = (node) => {
      const children = [];
      for (let c = t.first[node]; c >= 0; c = t.next[c]) if (width[c] > 0 && width[c] >= least) children.push(c);
      children.sort((a, b) => width[b] - width[a]);
      return {name: this.labelOf(node), value: width[node], node, children: children.map(build)};
    };
    let shown = build(this.focus);
    for (let n = t.parent[this.focus]; n >= 0; n = t.parent[n])
      shown = {name: this.labelOf(n), value: width[this.focus], node: n, fade: true, children: [shown]};
    return shown;
  }

  draw() {
    // The padding on both sides is not ours.
    this.pixels = Math.max(300, this.element.clientWidth - 28);
    this.chart.width(this.pixels);
    const place = flameGraphLibrary.select(this.element);
    if (this.drawn) {
      this.chart.update(this.visible());
    } else {
      place.datum(this.visible()).call(this.chart);
      this.drawn = true;
    }
    const svg = this.element.querySelector('svg');
    svg.setAttribute('role', 'tree');
    svg.setAttribute('aria-label', 'Flame graph, outermost calls on top');
    this.frames = new Map();
    for (const g of svg.querySelectorAll('g')) {
      const d = g.__data__;
      this.frames.set(d.data.node, g);
      g.setAttribute('role', 'treeitem');
      g.setAttribute('tabindex', d.data.node === this.focus ? '0' : '-1');
      g.setAttribute('aria-level', d.depth + 1);
      g.setAttribute('aria-label', this.textOf(d.data.node));
      g.querySelector('div').textContent = d.data.name;  // the library waits a turn
    }
  }

  // New colours for the frames that stand there.
  recolor(found) {
    this.found = found;
    for (const [node, g] of this.frames) g.querySelector('rect').setAttribute('fill', this.colorOf(node));
  }

  key(event) {
    const d = event.target.__data__;
    if (!d || !d.data) return;
    const siblings = d.parent ? d.parent.children : [d];
    const at = siblings.indexOf(d);
    const to = {
      ArrowUp: d.parent, ArrowDown: d.children && d.children[0], ArrowLeft: siblings[at - 1], ArrowRight: siblings[at + 1],
    }[event.key];
    if (to) {
      this.move(event.target, this.frames.get(to.data.node));
    } else if (event.key === 'Enter' || event.key === ' ') {
      const node = d.data.node;
      this.zoom(node);
      this.move(null, this.frames.get(node));
    } else if (!event.key.startsWith('Arrow')) {
      return;
    }
    event.preventDefault();
  }

  move(from, to) {
    if (from) from.setAttribute('tabindex', '-1');
    to.setAttribute('tabindex', '0');
    to.focus();
  }
}
