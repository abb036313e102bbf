/** The fake object beside each real one of a timed device. */
export type Twins = WeakMap<object, object>;
