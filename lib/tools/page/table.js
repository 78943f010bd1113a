// The table of sites: sorts and filters 100 000 rows, and has only those in the document that can be seen.

class Table {
  constructor(element, model, on) {
    this.model = model;
    this.on = on;  // choose(site), open(site)
    this.rowHeight = 24;
    this.columns = this.makeColumns();
    this.sorted = null;  // {column, ascending, order}: the last order of all sites
    this.shown = new Int32Array(0);
    this.current = -1;   // index into shown
    element.innerHTML = '<div class="grid" role="grid" tabindex="0" aria-label="Sites"><div class="head row" role="row"></div>' +
      '<div class="rows"><div class="body" role="rowgroup"></div></div></div>';
    this.grid = element.firstChild;
    this.head = this.grid.querySelector('.head');
    this.rows = this.grid.querySelector('.rows');
    this.body = this.grid.querySelector('.body');
    for (const column of this.columns) {
      const button = document.createElement('button');
      button.type = 'button';
      button.setAttribute('role', 'columnheader');
      button.className = column.kind || '';
      button.title = column.title;
      button.addEventListener('click', () => this.sortBy(column));
      column.button = button;
      this.head.append(button);
    }
    this.rows.addEventListener('scroll', () => {
      this.head.scrollLeft = this.rows.scrollLeft;
      this.fill();
    });
    this.body.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (row) this.choose(Number(row.dataset.index));
    });
    this.body.addEventListener('dblclick', () => this.current >= 0 && this.on.open(this.shown[this.current]));
    this.grid.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.fill()).observe(this.rows);
  }

  makeColumns() {
    const m = this.model, c = m.columns;
    const bytes = (name, label, title) => ({name, label, title, value: (i) => c[name][i], text: (v) => sizeText(v)});
    const number = (name, label, title) => ({name, label, title, value: (i) => c[name][i], text: (v) => v.toLocaleString('en')});
    const change = (name, label, title) => ({
      name: name + '_change', label, title, value: (i) => c[name][i] - c[name + '_before'][i],
      text: (v) => v ? sizeText(v, true) : '0', mark: (v) => v > 0 ? 'more' : v < 0 ? 'less' : '',
    });
    // Texts are sorted by their rank among all of their column, found when it is first asked for.
    const text = (name, label, title, textOf) => {
      let ranks = null;
      const rankOf = (i) => {
        if (!ranks) {
          const texts = Array.from({length: m.siteCount}, (_, site) => textOf(site));
          const order = new Map([...new Set(texts)].sort().map((t, rank) => [t, rank]));
          ranks = Float64Array.from(texts, (t) => order.get(t));
        }
        return ranks[i];
      };
      return {name, label, title, kind: name, value: rankOf, text: (_, i) => textOf(i)};
    };
    const place = text('place', 'Place', 'The innermost call that is not a library\'s', (i) => m.placeOf(m.placesOfSites[i]));
    const called = text('function', 'Function', 'That call\'s function', (i) => m.functionOf(m.placesOfSites[i]));
    const columns = [place, called, bytes('live', 'Live', 'Bytes live now'), number('blocks', 'Blocks', 'Blocks live now')];
    if (m.hasBefore) columns.splice(2, 0, change('live', 'Change', 'Live bytes now less those before'));
    if (m.data.profiled) {
      columns.push(bytes('peak', 'Peak', 'The most bytes live at once from this site'));
      columns.push(bytes('total', 'Total', 'All bytes ever allocated'));
      if (m.hasBefore) columns.push(change('total', 'Change of total', 'Total bytes now less those before'));
      columns.push(number('temporary', 'Brief', 'Blocks freed before their thread allocated another'));
      columns.push({name: 'lifetime', label: 'Lifetime', title: 'Average of the freed blocks',
        value: (i) => { const freed = c.total_blocks[i] - c.blocks[i]; return freed > 0 ? c.lifetime[i] / freed : -1; },
        text: (us) => us < 0 ? '-' : us < 1e4 ? `${us.toFixed(0)} µs` : us < 1e7 ? `${(us / 1e3).toFixed(0)} ms` : `${(us / 1e6).toFixed(0)} s`});
    }
    columns.push({...number('size', 'Size', 'Size class: the bytes of a block, rounded up')});
    if (m.data.tags.some((tag) => tag))
      columns.push(text('tag', 'Tag', 'gpa::tag_scope', (i) => m.data.tags[c.tag[i]]));
    return columns;
  }

  sortBy(column, ascending) {
    const text = column.kind !== undefined;
    if (ascending === undefined)
      ascending = this.sorted && this.sorted.column === column ? !this.sorted.ascending : text;
    const values = new Float64Array(this.model.siteCount);
    for (let i = 0; i < values.length; ++i) values[i] = column.value(i);
    const sign = ascending ? 1 : -1;
    const order = Int32Array.from(values.keys()).sort((a, b) => sign * (values[a] - values[b]) || a - b);
    this.sorted = {column, ascending, order};
    for (const c of this.columns) {
      c.button.textContent = c.label + (c === column ? (ascending ? ' ▲' : ' ▼') : '');
      c.button.setAttribute('aria-sort', c === column ? (ascending ? 'ascending' : 'descending') : 'none');
    }
    this.filter(this.isShown);
  }

  sortByMeasure(measure) {
    const name = this.model.hasBefore && this.columns.some((c) => c.name === measure + '_change') ? measure + '_change' : measure;
    this.sortBy(this.columns.find((c) => c.name === name), false);
  }

  filter(isShown) {
    this.isShown = isShown;
    this.shown = isShown ? this.sorted.order.filter(isShown) : this.sorted.order;
    this.current = -1;
    this.grid.setAttribute('aria-rowcount', this.shown.length + 1);
    this.body.style.minWidth = `${this.head.scrollWidth}px`;
    this.body.style.height = `${this.shown.length * this.rowHeight}px`;
    this.rows.scrollTop = 0;
    this.fill();
  }

  fill() {
    const from = Math.max(0, Math.floor(this.rows.scrollTop / this.rowHeight) - 5);
    const to = Math.min(this.shown.length, from + Math.ceil(this.rows.clientHeight / this.rowHeight) + 10);
    const rows = [];
    for (let index = from; index < to; ++index) rows.push(this.rowOf(index));
    this.body.replaceChildren(...rows);
  }

  rowOf(index) {
    const site = this.shown[index];
    const row = document.createElement('div');
    row.className = 'row';
    row.setAttribute('role', 'row');
    row.setAttribute('aria-rowindex', index + 2);
    row.setAttribute('aria-selected', index === this.current);
    row.dataset.index = index;
    row.style.top = `${index * this.rowHeight}px`;
    for (const column of this.columns) {
      const cell = document.createElement('span');
      const value = column.kind ? 0 : column.value(site);  // texts need no rank here
      cell.setAttribute('role', 'gridcell');
      cell.textContent = column.text(value, site);
      cell.className = `${column.kind || ''} ${column.mark ? column.mark(value) : ''}`;
      if (column.kind) cell.title = cell.textContent;
      row.append(cell);
    }
    return row;
  }

  choose(index) {
    if (!this.shown.length) return;
    this.current = Math.max(0, Math.min(this.shown.length - 1, index));
    const top = this.current * this.rowHeight, height = this.rows.clientHeight;
    if (top < this.rows.scrollTop) this.rows.scrollTop = top;
    if (top + this.rowHeight > this.rows.scrollTop + height) this.rows.scrollTop = top + this.rowHeight - height;
    this.fill();
    this.on.choose(this.shown[this.current]);
  }

  key(event) {
    if (event.target !== this.grid) return;
    const page = Math.max(1, Math.floor(this.rows.clientHeight / this.rowHeight) - 1);
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity}[event.key];
    if (step !== undefined) {
      this.choose(step === -Infinity ? 0 : step === Infinity ? this.shown.length - 1 : this.current + step);
    } else if (event.key === 'Enter' && this.current >= 0) {
      this.on.open(this.shown[this.current]);
    } else {
      return;
    }
    event.preventDefault();
  }
}
