/** Tells everybody who waits that something is different: level-triggered loops look again and wait again. */
export interface Change {
  tell(): void;
  /** Resolves at the next `tell`. Taken before one looks, so that nothing is missed between looking and waiting. */
  next(): Promise<void>;
}

export function createChange(): Change {
  let waiting = Promise.withResolvers<void>();
  return {
    tell: () => {
      waiting.resolve();
      waiting = Promise.withResolvers<void>();
    },
    next: () => waiting.promise,
  };
}
