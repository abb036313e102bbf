/** Wakes level-triggered loops: each waiter looks again and waits again. */
export interface Change {
  notify(): void;
  /** Resolves at the next `notify`. Call it before looking, so that no change is missed between looking and waiting. */
  next(): Promise<void>;
}

export function createChange(): Change {
  let waiting = Promise.withResolvers<void>();
  return {
    notify: () => {
      waiting.resolve();
      waiting = Promise.withResolvers<void>();
    },
    next: () => waiting.promise,
  };
}
