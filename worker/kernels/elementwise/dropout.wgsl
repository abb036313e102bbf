// Dropout from a counter-based generator: whether element i of a micro-batch is kept depends on (key, i) alone, never on
// the worker or on earlier draws. The key stands for seed, micro-batch and module; see dropout.ts.

fn element(index: u32) {
  let kept = counterHash(index, params.keyLow, params.keyHigh) >= params.threshold;
  let value = select(0.0, x[index] * params.scale, kept);
  //! if ACCUMULATE
  y[index] += value;
  //! end
  //! if !ACCUMULATE
  y[index] = value;
  //! end
}
