// Rotary position embedding, in place, in the rotate_half layout of Hugging Face's Llama: of the first 2 · half
// values of each head, value i is paired with value i + half and the pair is turned by the row's angle i.
//
// One invocation per pair: it reads both values before it writes them, so that nothing is read twice.

fn element(index: u32) {
  let pair = index % params.half;
  let head = index / params.half;
  let position = positions[head / params.headCount];
  let c = cos_table[position * params.half + pair];
  let s = params.sign * sin_table[position * params.half + pair];
  let at = head * params.headDim + pair;
  let low = x[at];
  let high = x[at + params.half];
  x[at] = low * c - high * s;
  x[at + params.half] = high * c + low * s;
}
