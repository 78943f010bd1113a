'use strict';
// The report in memory: typed arrays, trees of calls, sums and searches. Touches no element of the page.

class Model {
  constructor(data) {
    this.data = data;
    this.hasBefore = Boolean(data.before);
    for (const [name, list] of Object.entries(data.calls)) data.calls[name] = Int32Array.from(list);
    this.callCount = data.calls.function.length;
    this.nodeParent = Int32Array.from(data.nodes.parent);
    this.nodeCall = Int32Array.from(data.nodes.call);
    this.siteNode = Int32Array.from(data.sites.node);
    this.siteCount = this.siteNode.length;
    this.columns = {};
    for (const [name, list] of Object.entries(data.sites)) this.columns[name] = Float64Array.from(list);
    delete data.nodes;
    delete data.sites;
    this.trees = new Map();
    this.arrays = new Map();
    // What is searched.
    this.names = Array.from(data.calls.function, (_, c) => `${this.functionOf(c)} ${this.placeOf(c)}`.toLowerCase());
    this.measures = data.profiled ? ['live', 'peak', 'total'] : ['live'];
  }

  // Zeros, in memory that is used again at the next call with this name: a search that makes new arrays has the browser
  // collect garbage in the middle of a word, now and then for a tenth of a second.
  zeros(name, Type, length) {
    if (!(this.arrays.get(name)?.length >= length)) this.arrays.set(name, new Type(length));
    return this.arrays.get(name).subarray(0, length).fill(0);
  }

  isLibrary(call) { return (this.data.calls.flags[call] & 2) !== 0; }
  isInlined(call) { return (this.data.calls.flags[call] & 1) !== 0; }
  functionOf(call) { return this.data.functions[this.data.calls.function[call]]; }
  fileOf(call) { const f = this.data.calls.file[call]; return f < 0 ? '' : this.data.files[f]; }
  lineOf(call) { return this.data.calls.line[call]; }

  placeOf(call) {
    const file = this.fileOf(call);
    if (!file) return this.functionOf(call);
    return this.lineOf(call) ? `${file}:${this.lineOf(call)}` : file;
  }

  // For labels: without anonymous namespaces and parameters.
  shortNameOf(call) {
    const f = this.data.calls.function[call];
    this.shortNames ||= this.data.functions.map(shortened);
    return this.shortNames[f];
  }

  shortPlaceOf(call) {
    const place = this.placeOf(call);
    return this.fileOf(call) ? place.slice(place.lastIndexOf('/') + 1) : this.shortNameOf(call);
  }

  // What its colour is made from.
  hues(call) {
    this.hashes ||= {file: this.data.files.map(hash), function: this.data.functions.map(hash)};
    const f = this.data.calls.file[call];
    return {file: f < 0 ? 0 : this.hashes.file[f], shade: this.hashes.function[this.data.calls.function[call]] % 9};
  }

  // [{number, text}] of the lines around a call, as far as they came with the report.
  sourceOf(call) {
    const lines = this.data.sources[this.data.calls.file[call]];
    const at = this.lineOf(call);
    if (!lines || !(at in lines)) return [];
    const around = [];
    for (let n = Math.max(1, at - 4); n <= at + 4; ++n) if (n in lines) around.push({number: n, text: lines[n]});
    return around;
  }

  // The calls from a node outward: innermost first.
  stackOf(node) {
    const calls = [];
    for (let n = node; n >= 0; n = this.nodeParent[n]) calls.push(this.nodeCall[n]);
    return calls;
  }

  // As the library chooses what a report is about: the innermost call of the user's with a line.
  worthShowing(node) {
    let users = -1;
    for (let n = node; n >= 0; n = this.nodeParent[n]) {
      const call = this.nodeCall[n];
      if (this.isLibrary(call)) continue;
      if (this.lineOf(call)) return call;
      if (users < 0) users = call;
    }
    return users < 0 ? this.nodeCall[node] : users;
  }

  // For each site the call worth showing.
  get placesOfSites() {
    this.places ||= Int32Array.from(this.siteNode, (node) => this.worthShowing(node));
    return this.places;
  }

  // What sites are put together by: for each site a number, and for each number a text.
  grouping(kind) {
    this.groupings ||= new Map();
    if (this.groupings.has(kind)) return this.groupings.get(kind);
    const place = this.placesOfSites;
    const textOf = {
      line: (i) => this.placeOf(place[i]),
      function: (i) => this.functionOf(place[i]),
      file: (i) => this.fileOf(place[i]) || this.functionOf(place[i]),
      tag: (i) => this.data.tags[this.columns.tag[i]] || '(no tag)',
      size: (i) => `up to ${counted(this.columns.size[i], 'byte')}`,
    }[kind];
    const of = new Int32Array(this.siteCount), texts = [], numbers = new Map();
    for (let i = 0; i < this.siteCount; ++i) {
      const key = textOf ? textOf(i) : this.siteNode[i];
      let number = numbers.get(key);
      if (number === undefined) {
        number = texts.length;
        numbers.set(key, number);
        texts.push(textOf ? key : this.placeOf(place[i]));
      }
      of[i] = number;
    }
    const made = {of, texts};
    this.groupings.set(kind, made);
    return made;
  }

  // Rows of the sites that are `shown` (1 for each that is; all without it): sums of every column, and the site of each
  // that is largest by `measure`.
  rows(kind, measure, shown) {
    const group = this.grouping(kind), {of, texts} = group;
    const rowOfGroup = this.zeros('row of group', Int32Array, texts.length).fill(-1);
    const row = this.zeros('row', Int32Array, this.siteCount);
    const site = this.zeros('site', Int32Array, texts.length), largest = this.zeros('largest', Float64Array, texts.length);
    const weight = this.columns[measure], before = this.columns[`${measure}_before`];
    let count = 0;
    for (let i = 0; i < this.siteCount; ++i) {
      if (shown && !shown[i]) { row[i] = -1; continue; }
      const bytes = weight[i] + (before ? before[i] : 0);
      let r = rowOfGroup[of[i]];
      if (r < 0) r = rowOfGroup[of[i]] = count++;
      else if (bytes <= largest[r]) { row[i] = r; continue; }
      row[i] = r;
      site[r] = i;
      largest[r] = bytes;
    }
    const columns = {};
    for (const [name, values] of Object.entries(this.columns)) {
      if (name === 'node' || name === 'tag' || name === 'size') continue;
      const sums = columns[name] = this.zeros(`sum of ${name}`, Float64Array, count);
      for (let i = 0; i < this.siteCount; ++i) if (row[i] >= 0) sums[row[i]] += values[i];
    }
    return {
      count, site, columns,
      text: (r) => texts[of[site[r]]],
      rank: (r) => { group.ranks ||= ranksOf(texts); return group.ranks[of[site[r]]]; },
    };
  }

  // Where a function's name stands in the alphabet.
  rankOfFunction(call) {
    this.functionRanks ||= ranksOf(this.data.functions);
    return this.functionRanks[this.data.calls.function[call]];
  }

  // The tree as it is drawn, with or without library frames: node 0 is the root, parents come before children; `of` leads
  // from the report's nodes to those of the tree. A stack of library frames alone keeps them.
  tree(withLibrary) {
    if (this.trees.has(withLibrary)) return this.trees.get(withLibrary);
    const count = this.nodeCall.length;
    const parent = [-1], call = [-1], of = new Int32Array(count);
    const children = new Map();
    const users = new Uint8Array(count);  // it is a user's frame, or one lies outside of it or inside
    for (let n = 0; n < count; ++n) {
      const p = this.nodeParent[n];
      users[n] = !this.isLibrary(this.nodeCall[n]) || (p >= 0 && users[p]) ? 1 : 0;
    }
    for (let n = count - 1; n >= 0; --n) if (users[n] && this.nodeParent[n] >= 0) users[this.nodeParent[n]] = 1;
    for (let n = 0; n < count; ++n) {
      const up = this.nodeParent[n] < 0 ? 0 : of[this.nodeParent[n]];
      const c = this.nodeCall[n];
      if (!withLibrary && this.isLibrary(c) && users[n]) { of[n] = up; continue; }
      const key = up * this.callCount + c;
      let d = children.get(key);
      if (d === undefined) {
        d = call.length;
        children.set(key, d);
        parent.push(up);
        call.push(c);
      }
      of[n] = d;
    }
    const first = new Int32Array(call.length).fill(-1), next = new Int32Array(call.length).fill(-1);
    for (let d = call.length - 1; d > 0; --d) {
      next[d] = first[parent[d]];
      first[parent[d]] = d;
    }
    const t = {parent: Int32Array.from(parent), call: Int32Array.from(call), of, first, next, count: call.length};
    this.trees.set(withLibrary, t);
    return t;
  }

  sumUp(t, column) {
    const sums = new Float64Array(t.count);
    if (!column) return sums;
    for (let i = 0; i < this.siteCount; ++i) sums[t.of[this.siteNode[i]]] += column[i];
    for (let d = t.count - 1; d > 0; --d) sums[t.parent[d]] += sums[d];
    return sums;
  }

  // Bytes below each node: now, before, and the width it is drawn with. Between two reports a site is as wide as it is
  // in the one where it is larger, so that what is gone can still be seen.
  weigh(withLibrary, measure) {
    const t = this.tree(withLibrary);
    const now = this.columns[measure], before = this.columns[measure + '_before'];
    const sums = {now: this.sumUp(t, now), before: null, width: null};
    sums.width = sums.now;
    if (before) {
      sums.before = this.sumUp(t, before);
      sums.width = this.sumUp(t, now.map((bytes, i) => Math.max(bytes, before[i])));
    }
    return sums;
  }

  // What a text matches: calls, and the sites with such a call anywhere in their stack. Null for no text.
  search(text) {
    if (!text) return null;
    let matches;
    if (text.length > 1 && text.startsWith('/')) {
      const pattern = new RegExp(text.slice(1, text.endsWith('/') && text.length > 2 ? -1 : undefined), 'i');
      matches = (name) => pattern.test(name);
    } else {
      const wanted = text.toLowerCase();
      matches = (name) => name.includes(wanted);
    }
    const calls = this.zeros('found calls', Uint8Array, this.callCount);
    for (let c = 0; c < this.callCount; ++c) if (matches(this.names[c])) calls[c] = 1;
    const nodes = this.zeros('found nodes', Uint8Array, this.nodeCall.length);
    for (let n = 0; n < nodes.length; ++n) {
      nodes[n] = calls[this.nodeCall[n]] || (this.nodeParent[n] >= 0 && nodes[this.nodeParent[n]]) ? 1 : 0;
    }
    const sites = this.zeros('found sites', Uint8Array, this.siteCount);
    for (let i = 0; i < sites.length; ++i) sites[i] = nodes[this.siteNode[i]];
    return {calls, sites};
  }

  // For each site whether it lies below a node of the tree.
  below(withLibrary, focus) {
    const t = this.tree(withLibrary);
    const inside = new Uint8Array(t.count);
    inside[focus] = 1;
    for (let d = focus + 1; d < t.count; ++d) if (inside[t.parent[d]]) inside[d] = 1;
    const sites = new Uint8Array(this.siteCount);
    for (let i = 0; i < sites.length; ++i) sites[i] = inside[t.of[this.siteNode[i]]];
    return sites;
  }
}

// For each text its place among all of them; equal ones share one.
function ranksOf(texts) {
  const ranks = new Map([...new Set(texts)].sort().map((text, rank) => [text, rank]));
  return Float64Array.from(texts, (text) => ranks.get(text));
}

// The positions of the values, smallest first, or largest; of equal ones the first one first. By digits of 16 bits: a
// sort that compares takes a tenth of a second for 100 000 rows, and rows are sorted anew at each letter of a search.
// Spoils the values.
function sortedPositions(values, ascending, zeros) {
  const words = new Uint32Array(values.buffer, values.byteOffset, 2 * values.length);
  for (let i = 0; i < words.length; i += 2) {
    // Bits in the order of the numbers: the sign turned round, and of what is negative all of them.
    const turn = (words[i + 1] >>> 31) === (ascending ? 1 : 0) ? 0xFFFFFFFF : 0;
    words[i] ^= turn;
    words[i + 1] ^= turn ^ (words[i + 1] >>> 31 ? 0 : 0x80000000);
  }
  let order = zeros('order', Int32Array, values.length), sorted = zeros('sorted', Int32Array, values.length);
  for (let i = 0; i < order.length; ++i) order[i] = i;
  const starts = zeros('starts', Uint32Array, 0x10000);
  for (const [word, shift] of [[0, 0], [0, 16], [1, 0], [1, 16]]) {
    starts.fill(0);
    for (let i = word; i < words.length; i += 2) ++starts[words[i] >>> shift & 0xFFFF];
    if (starts.includes(values.length)) continue;  // one digit for all
    for (let digit = 0, sum = 0; digit < starts.length; ++digit) { const n = starts[digit]; starts[digit] = sum; sum += n; }
    for (let k = 0; k < order.length; ++k) {
      const i = order[k];
      sorted[starts[words[2 * i + word] >>> shift & 0xFFFF]++] = i;
    }
    [order, sorted] = [sorted, order];
  }
  return order;
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

// As the library and Python's tracemalloc write sizes.
function sizeText(bytes, signed) {
  let unit = 0, b = bytes;
  while (unit + 1 < units.length && Math.abs(b) >= 10 * 1024) { b /= 1024; ++unit; }
  return `${signed && bytes >= 0 ? '+' : ''}${b.toFixed(unit && Math.abs(b) < 100 ? 1 : 0)} ${units[unit]}`;
}

function counted(count, what) { return `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`; }

function percent(part, whole) { return whole ? `${(100 * part / whole).toFixed(1)} %` : '-'; }

// `count(f::path const&)::{lambda(int)#1}::operator()` for `(anonymous namespace)::count(f::path const&)...`: parameters
// go where the name ends with them.
function shortened(name) {
  const text = name.replaceAll('(anonymous namespace)::', '').replace(/\) const$/, ')');
  if (!text.endsWith(')') || text.endsWith('operator()')) return text;
  let depth = 0;
  for (let i = text.length - 1; i >= 0; --i) {
    if (text[i] === ')') ++depth;
    if (text[i] === '(' && --depth === 0) return i === 0 ? text : text.slice(0, i);
  }
  return text;
}

// `parser::members` of `gpa::bench::parser::members`: what a narrow column has room for.
function tailOf(name) {
  let depth = 0, colons = 0;
  for (let i = name.length - 1; i > 0; --i) {
    if (')>}'.includes(name[i])) ++depth;
    if ('(<{'.includes(name[i])) --depth;
    if (depth === 0 && name[i] === ':' && name[i - 1] === ':' && ++colons === 2) return name.slice(i + 1);
  }
  return name;
}

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; ++i) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return (h ^ (h >>> 15)) >>> 0;
}
