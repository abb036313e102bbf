/** The properties of a device by which a kernel chooses its variant. */
export interface Processor {
  /** The driver computes on the CPU (lavapipe, SwiftShader). */
  readonly isCpu: boolean;
  /** Lanes of the smallest subgroup; 0 if kernels cannot use subgroups. */
  readonly subgroupSize: number;
}
