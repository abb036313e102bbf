// Dropout from a counter-based generator: whether element i of a micro-batch is kept depends on (key, i) alone, never on
// the worker or on earlier draws. The key stands for seed, micro-batch and module; see dropout.ts.
//
// The hash is two rounds of the PCG-RXS-M-XS output function (Jarzynski and Olano, "Hash Functions for GPU Rendering", 2020).

fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn element(index: u32) {
  let kept = pcg(pcg(index ^ params.keyLow) ^ params.keyHigh) >= params.threshold;
  let value = select(0.0, x[index] * params.scale, kept);
  //! if ACCUMULATE
  y[index] += value;
  //! end
  //! if !ACCUMULATE
  y[index] = value;
  //! end
}
