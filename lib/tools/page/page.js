// Puts the parts together: what is chosen in one is shown in the others.

(() => {
  const element = (id) => document.getElementById(id);
  const make = (tag, text, name) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  };

  const model = new Model(JSON.parse(element('data').textContent));
  const data = model.data;
  let measure = model.measures[data.measure] || 'live';
  let found = null;

  // ---- what it is about ----

  const told = (d) => `resource "${d.resource}" of ${d.arguments.join(' ') || d.executable} (pid ${d.pid}), ${d.time}`;
  element('about').textContent = data.before ? `${told(data.before)}  →  ${told(data.now)}` : told(data.now);
  element('about').title = element('about').textContent;
  document.title = `gpa: ${data.now.resource}, ${data.now.executable.split('/').pop()} ${data.now.time}`;
  for (const kind of ['live', 'peak', 'total']) {
    const bytes = data.now[`${kind}_bytes`], blocks = data.now[`${kind}_blocks`];
    const place = make('div', `${kind} `);
    place.append(make('b', sizeText(bytes)), make('span', ` in ${counted(blocks, 'block')}`));
    if (data.before) {
      const change = bytes - data.before[`${kind}_bytes`];
      place.append(' ', make('span', `(${sizeText(change, true)})`, change > 0 ? 'more' : change < 0 ? 'less' : ''));
    }
    element('totals').append(place);
  }
  if (data.estimated)
    element('totals').append(make('div', `Sites are estimated from one in ${counted(data.one_in, 'allocation')}; what is live, and in total, is counted.`, 'note'));

  // ---- a call, its stack, its source ----

  function excerpt(call) {
    const lines = model.sourceOf(call);
    if (!lines.length) {
      return make('p', !model.lineOf(call) ? 'No line is known.' : model.isLibrary(call) ? 'Sources of libraries are not taken along.'
        : 'The source was not there when this page was made.', 'numbers');
    }
    const pre = make('pre');
    const digits = String(lines[lines.length - 1].number).length;
    for (const {number, text} of lines) {
      const line = make('span', undefined, number === model.lineOf(call) ? 'chosen' : '');
      line.append(make('i', `${String(number).padStart(digits)}  `), text);
      pre.append(line);
      const column = data.calls.column[call];
      if (number === model.lineOf(call) && column > 0) {
        const caret = make('span', undefined, 'caret');
        caret.append(make('i', ' '.repeat(digits + 2)), text.slice(0, column - 1).replace(/[^\t]/g, ' ') + '^');
        pre.append(caret);
      }
    }
    return pre;
  }

  function callItem(call, chosen, choose) {
    const button = make('button', `${model.functionOf(call)} `, model.isLibrary(call) ? 'of-library' : '');
    button.type = 'button';
    const place = model.placeOf(call);
    const at = (place === model.functionOf(call) ? '' : place) + (model.isInlined(call) ? ' (inlined)' : '');
    button.append(make('span', at, 'at'));
    if (call === chosen) button.setAttribute('aria-current', 'true');
    button.addEventListener('click', () => choose(call));
    const item = make('li');
    item.append(button);
    return item;
  }

  // Library frames are folded, unless there are no others, or they are wanted.
  function stackList(calls, chosen, choose) {
    const list = make('ol', undefined, 'stack');
    const folds = !withLibrary() && !calls.every((call) => model.isLibrary(call));
    let folded = null;
    for (const call of calls) {
      const item = callItem(call, chosen, choose);
      if (!folds || !model.isLibrary(call)) {
        list.append(item);
        folded = null;
        continue;
      }
      if (!folded) {
        folded = make('details');
        folded.append(make('summary'), make('ol', undefined, 'stack'));
        const place = make('li');
        place.append(folded);
        list.append(place);
      }
      folded.lastChild.append(item);
      folded.firstChild.textContent = counted(folded.lastChild.children.length, 'library frame');
      if (call === chosen) folded.open = true;
    }
    return list;
  }

  function showDetails(title, numbers, calls, chosen) {
    const again = (call) => {
      showDetails(title, numbers, calls, call);
      const current = element('details').querySelector('[aria-current]');
      if (current) current.focus();
    };
    const parts = [make('h2', title)];
    if (numbers) parts.push(make('p', numbers, 'numbers'));
    if (chosen >= 0) parts.push(excerpt(chosen));
    parts.push(stackList(calls, chosen, again));
    element('details').replaceChildren(...parts);
  }

  function numbersOf(r) {
    const c = table.table.columns;
    let text = `live ${sizeText(c.live[r])} in ${counted(c.blocks[r], 'block')}`;
    if (data.profiled) {
      text += `, at the peak ${sizeText(c.peak[r])} in ${counted(c.peak_blocks[r], 'block')}, own peak ${sizeText(c.own_peak[r])}, total ${sizeText(c.total[r])} in ${counted(c.total_blocks[r], 'block')}`;
      if (c.temporary[r]) text += `, ${c.temporary[r].toLocaleString('en')} of them freed before their thread allocated another`;
    }
    if (model.hasBefore) text += `; before: live ${sizeText(c.live_before[r])} in ${counted(c.blocks_before[r], 'block')}`;
    return text;
  }

  function showRow(site, row) {
    const call = model.worthShowing(model.siteNode[site]);
    showDetails(table.table.text(row), numbersOf(row), model.stackOf(model.siteNode[site]), call);
  }

  function showNode(node) {
    if (node === 0) {
      element('details').replaceChildren(make('p', 'Choose a frame or a site to see its source.', 'numbers'));
      return;
    }
    const calls = [];
    for (let n = node; n > 0; n = flame.tree.parent[n]) calls.push(flame.tree.call[n]);
    showDetails(model.functionOf(calls[0]), flame.textOf(node), calls, calls[0]);
  }

  // ---- flame graph and table ----

  const withLibrary = () => element('library').checked;
  const flame = new Flame(element('flame'), model, {
    focus: (node) => { element('reset').disabled = node === 0; filterTable(); showNode(node); },
    hover: (text) => { element('hover').textContent = text; },
  });
  const table = new Table(element('sites'), model, {
    choose: showRow,
    open: (site) => flame.zoom(flame.tree.of[model.siteNode[site]]),
  });

  function filterTable() {
    const below = flame.focus === 0 ? null : model.below(withLibrary(), flame.focus);
    const shown = below && found ? below.map((is, site) => is & found.sites[site]) : below || (found && found.sites);
    table.show(element('kind').value, measure, shown);
    element('tab-sites').textContent = counted(table.order.length, 'row');
  }

  function search() {
    const input = element('search');
    try {
      found = model.search(input.value.trim());
      input.setCustomValidity('');
    } catch (error) {
      input.setCustomValidity(error.message);
      element('found').textContent = 'no regular expression';
      return;
    }
    flame.recolor(found);
    filterTable();
    if (!found) { element('found').textContent = ''; return; }
    let bytes = 0, all = 0, sites = 0;
    const column = model.columns[measure];
    for (let i = 0; i < model.siteCount; ++i) {
      all += column[i];
      if (found.sites[i]) { bytes += column[i]; ++sites; }
    }
    element('found').textContent = `${counted(sites, 'site')}, ${sizeText(bytes)}, ${percent(bytes, all)}`;
  }

  function showMeasure() {
    for (const button of element('measures').children) {
      const is = button.dataset.measure === measure;
      button.setAttribute('aria-checked', is);
      button.tabIndex = is ? 0 : -1;
    }
    flame.show(withLibrary(), measure);
    flame.recolor(found);
    filterTable();
  }

  for (const name of model.measures) {
    const button = make('button', `${name} bytes`);
    button.type = 'button';
    button.dataset.measure = name;
    button.setAttribute('role', 'radio');
    button.addEventListener('click', () => { measure = name; showMeasure(); search(); });
    element('measures').append(button);
  }
  // Arrow keys move within a group, as in native ones.
  const arrows = (group) => group.addEventListener('keydown', (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const items = [...group.children], at = items.indexOf(document.activeElement);
    if (!step || at < 0) return;
    const to = items[(at + step + items.length) % items.length];
    to.click();
    to.focus();
    event.preventDefault();
  });
  arrows(element('measures'));
  arrows(element('tabs'));

  // ---- mistakes ----

  function showTab(name) {
    for (const tab of ['sites', 'mistakes']) {
      const is = tab === name;
      element(tab).hidden = !is;
      element(`tab-${tab}`).setAttribute('aria-selected', is);
      element(`tab-${tab}`).tabIndex = is ? 0 : -1;
    }
  }
  element('tab-sites').addEventListener('click', () => showTab('sites'));
  element('tab-mistakes').addEventListener('click', () => {
    showTab('mistakes');
    const first = element('mistakes').querySelector('.stack button:not(.of-library)');
    if (first) first.click();
  });
  element('tab-mistakes').textContent = counted(data.mistakes.length, 'mistake');
  element('tab-mistakes').classList.toggle('some', data.mistakes.length !== 0);
  for (const mistake of data.mistakes) {
    const place = make('article', undefined, 'mistake');
    place.append(make('h2', mistake.message), make('span', mistake.rule, 'rule'));
    const roles = {here: mistake.rule === 'gpa-leak' ? 'noticed' : 'the mistake', freed: 'freed before', allocated: 'allocated'};
    for (const stack of mistake.stacks) {
      place.append(make('h3', roles[stack.role] || stack.role));
      place.append(stackList(stack.calls, -1, (call) => showDetails(mistake.message, roles[stack.role], stack.calls, call)));
    }
    element('mistakes').append(place);
  }
  if (!data.mistakes.length) element('mistakes').append(make('p', 'No mistakes were reported.', 'numbers'));

  // ---- the rest ----

  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    element('theme').textContent = theme === 'dark' ? 'Light' : 'Dark';
    if (flame.drawn) flame.recolor(found);
  };
  element('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
  setTheme(window.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');

  element('search').addEventListener('input', search);
  element('library').addEventListener('change', showMeasure);
  element('kind').addEventListener('change', filterTable);
  element('reset').addEventListener('click', () => flame.zoom(0));
  document.addEventListener('keydown', (event) => {
    const typing = event.target === element('search');
    if (event.key === '/' && !typing) {
      element('search').focus();
      event.preventDefault();
    } else if (event.key === 'Escape') {
      if (typing && element('search').value) { element('search').value = ''; search(); } else flame.zoom(0);
    }
  });
  let resizing = 0;
  window.addEventListener('resize', () => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => { flame.draw(); flame.recolor(found); });
  });

  showMeasure();
  showNode(0);
  table.choose(0);
  document.documentElement.dataset.ready = 'true';  // tests wait for it
})();
