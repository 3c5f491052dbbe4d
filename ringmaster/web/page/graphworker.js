// Lays a graph out, beside the page's own thread: some hundred tasks take a second.
import { Graph, layout } from './vendor/dagre.js';

const pathOf = (points) => points.map((point, index) => `${index ? 'L' : 'M'}${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join('');

/** Where everything goes: {nodes: [[id, {x, y}]], edges: [{edge, path}], width, height}. Pure. */
export function place({ ids, edges, width, height }) {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: 'LR', nodesep: 16, ranksep: 56, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  const known = new Set(ids);
  for (const id of ids) graph.setNode(id, { width, height });
  const drawn = edges.filter((edge) => known.has(edge.task_id) && known.has(edge.other_id) && edge.task_id !== edge.other_id);
  drawn.forEach((edge, index) => graph.setEdge(edge.other_id, edge.task_id, {}, String(index)));
  layout(graph);
  const label = graph.graph();
  return {
    nodes: ids.map((id) => [id, { x: graph.node(id).x, y: graph.node(id).y }]),
    edges: drawn.map((edge, index) => ({ edge, path: pathOf(graph.edge({ v: edge.other_id, w: edge.task_id, name: String(index) }).points) })),
    width: Math.max(label.width || 0, width),
    height: Math.max(label.height || 0, height),
  };
}

globalThis.onmessage = ({ data }) => globalThis.postMessage(place(data));
