// The table: sites put together by line, stack and so on, sorted and filtered; of up to 100 000 rows only those that can
// be seen are in the document.

class Table {
  constructor(element, model, on) {
    this.model = model;
    this.on = on;  // choose(site), open(site)
    this.rowHeight = 24;
    this.kind = 'line';
    this.current = -1;  // position among the rows
    element.innerHTML = '<div class="grid" role="grid" tabindex="0" aria-label="Sites"><div class="head row" role="row"></div>' +
      '<div class="rows"><div class="body" role="rowgroup"></div></div></div>';
    this.grid = element.firstChild;
    this.head = this.grid.querySelector('.head');
    this.rows = this.grid.querySelector('.rows');
    this.body = this.grid.querySelector('.body');
    this.columns = this.makeColumns();
    for (const column of this.columns) {
      const button = document.createElement('button');
      button.type = 'button';
      button.setAttribute('role', 'columnheader');
      button.className = column.name;
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
    this.body.addEventListener('dblclick', () => this.current >= 0 && this.on.open(this.site(this.current)));
    this.grid.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.fill()).observe(this.rows);
  }

  // A column: `value` of a row to sort by, `text` of it to show.
  makeColumns() {
    const m = this.model;
    const bytes = (name, label, title) => ({name, label, title, value: (r, c) => c[name][r], text: (v) => sizeText(v)});
    const number = (name, label, title) => ({name, label, title, value: (r, c) => c[name][r], text: (v) => v.toLocaleString('en')});
    const change = (name, label, title) => ({
      name: `${name}_change`, label, title, value: (r, c) => c[name][r] - c[`${name}_before`][r],
      text: (v) => v ? sizeText(v, true) : '0', mark: (v) => v > 0 ? 'more' : v < 0 ? 'less' : '',
    });
    const call = (r) => m.placesOfSites[this.table.site[r]];
    const ofCall = () => this.kind === 'line' || this.kind === 'stack';
    const columns = [
      {name: 'place', label: 'Place', title: 'The innermost call that is not a library\'s', isText: true,
        full: (r) => this.table.text(r), value: (r) => this.table.rank(r), text: (_, r) => ofCall() ? m.shortPlaceOf(call(r)) : this.table.text(r)},
      {name: 'function', label: 'Function', title: 'That call\'s function, of the largest site of the row', isText: true,
        full: (r) => m.functionOf(call(r)), value: (r) => m.rankOfFunction(call(r)), text: (_, r) => tailOf(m.shortNameOf(call(r)))},
    ];
    if (m.hasBefore) columns.push(change('live', 'Live +/-', 'Live bytes now less those before'));
    columns.push(bytes('live', 'Live', 'Bytes live now'), number('blocks', 'Blocks', 'Blocks live now'));
    if (!m.data.profiled) return columns;
    if (m.hasBefore) columns.push(change('peak', 'Peak +/-', 'Bytes at the peak of the resource now less those before'));
    columns.push(bytes('peak', 'At peak', 'Bytes live when the whole resource was at its peak'));
    if (m.hasBefore) columns.push(change('total', 'Total +/-', 'Total bytes now less those before'));
    columns.push(bytes('total', 'Total', 'All bytes ever allocated'));
    columns.push(bytes('own_peak', 'Own peak', 'The most bytes of this place live at once; of several sites the sum of theirs'));
    columns.push(number('temporary', 'Brief', 'Blocks freed before their thread allocated another'));
    columns.push({name: 'lifetime', label: 'Lifetime', title: 'Average of the freed blocks',
      value: (r, c) => { const freed = c.total_blocks[r] - c.blocks[r]; return freed > 0 ? c.lifetime[r] / freed : -1; },
      text: (us) => us < 0 ? '-' : us < 1e4 ? `${us.toFixed(0)} µs` : us < 1e7 ? `${(us / 1e3).toFixed(0)} ms` : `${(us / 1e6).toFixed(0)} s`});
    return columns;
  }

  site(position) { return this.table.site[this.order[position]]; }

  // New rows: of another kind, another measure, other sites.
  show(kind, measure, shown) {
    this.kind = kind;
    this.table = this.model.rows(kind, measure, shown);
    if (this.measure !== measure) {
      this.measure = measure;
      const wanted = this.model.hasBefore ? `${measure}_change` : measure;
      this.sorted = {column: this.columns.find((c) => c.name === wanted), ascending: false};
    }
    this.sort();
  }

  sortBy(column) {
    const same = this.sorted.column === column;
    this.sorted = {column, ascending: same ? !this.sorted.ascending : Boolean(column.isText)};
    this.sort();
  }

  sort() {
    const {column, ascending} = this.sorted, {count, columns} = this.table;
    const values = this.model.zeros('values', Float64Array, count);
    for (let r = 0; r < count; ++r) values[r] = column.value(r, columns);
    this.order = sortedPositions(values, ascending, (...wanted) => this.model.zeros(...wanted));
    for (const c of this.columns) {
      c.button.textContent = c.label + (c === column ? (ascending ? ' ▲' : ' ▼') : '');
      c.button.setAttribute('aria-sort', c === column ? (ascending ? 'ascending' : 'descending') : 'none');
    }
    this.current = -1;
    this.grid.setAttribute('aria-rowcount', count + 1);
    this.body.style.minWidth = `${this.head.scrollWidth}px`;
    this.body.style.height = `${count * this.rowHeight}px`;
    this.rows.scrollTop = 0;
    this.fill();
  }

  fill() {
    if (!this.order) return;
    const from = Math.max(0, Math.floor(this.rows.scrollTop / this.rowHeight) - 5);
    const to = Math.min(this.order.length, from + Math.ceil(this.rows.clientHeight / this.rowHeight) + 10);
    const rows = [];
    for (let position = from; position < to; ++position) rows.push(this.rowOf(position));
    this.body.replaceChildren(...rows);
  }

  rowOf(position) {
    const r = this.order[position];
    const row = document.createElement('div');
    row.className = 'row';
    row.setAttribute('role', 'row');
    row.setAttribute('aria-rowindex', position + 2);
    row.setAttribute('aria-selected', position === this.current);
    row.dataset.index = position;
    row.style.top = `${position * this.rowHeight}px`;
    for (const column of this.columns) {
      const cell = document.createElement('span');
      const value = column.isText ? 0 : column.value(r, this.table.columns);
      cell.setAttribute('role', 'gridcell');
      const text = column.text(value, r), line = column.name === 'place' ? /:\d+$/.exec(text) : null;
      if (line) {  // stays when there is no room for the file's whole name
        const file = document.createElement('span');
        file.textContent = text.slice(0, line.index);
        cell.append(file, line[0]);
      } else {
        cell.textContent = text;
      }
      cell.className = `${column.name} ${column.mark ? column.mark(value) : ''}`;
      if (column.isText) cell.title = column.full(r);
      row.append(cell);
    }
    return row;
  }

  choose(position) {
    if (!this.order.length) return;
    this.current = Math.max(0, Math.min(this.order.length - 1, position));
    const top = this.current * this.rowHeight, height = this.rows.clientHeight;
    if (top < this.rows.scrollTop) this.rows.scrollTop = top;
    if (top + this.rowHeight > this.rows.scrollTop + height) this.rows.scrollTop = top + this.rowHeight - height;
    this.fill();
    this.on.choose(this.site(this.current), this.order[this.current]);
  }

  key(event) {
    if (event.target !== this.grid) return;
    const page = Math.max(1, Math.floor(this.rows.clientHeight / this.rowHeight) - 1);
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity}[event.key];
    if (step !== undefined) {
      this.choose(step === -Infinity ? 0 : step === Infinity ? this.order.length - 1 : this.current + step);
    } else if (event.key === 'Enter' && this.current >= 0) {
      this.on.open(this.site(this.current));
    } else {
      return;
    }
    event.preventDefault();
  }
}
