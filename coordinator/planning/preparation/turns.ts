/** Limits on concurrent work, in all and for each key. Waiting ends with the waiter's signal. */

/** Resolves when it is the caller's turn, with a function that ends it. Rejects with the signal's reason. */
export type TakeTurn = (signal: AbortSignal) => Promise<() => void>;

export interface Turns {
  /** In the order of the calls. */
  readonly next: TakeTurn;
  /** Before all `next` ones. */
  readonly urgent: TakeTurn;
}

interface Waiter {
  readonly isUrgent: boolean;
  readonly begin: () => void;
}

/** At most `count` turns at a time. */
export function createTurns(count: number): Turns {
  let waiting: readonly Waiter[] = [];
  let running = 0;

  function beginNext(): void {
    while (running < count && waiting.length > 0) {
      const next = waiting.find(({ isUrgent }) => isUrgent) ?? waiting[0]!;
      waiting = waiting.filter((waiter) => waiter !== next);
      running++;
      next.begin();
    }
  }

  const take = (isUrgent: boolean): TakeTurn => (signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      let hasEnded = false;
      const end = () => {
        if (hasEnded) return;
        hasEnded = true;
        running--;
        beginNext();
      };
      const onAbort = () => {
        waiting = waiting.filter((other) => other !== waiter);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        isUrgent,
        begin: () => {
          signal.removeEventListener("abort", onAbort);
          resolve(end);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      waiting = [...waiting, waiter];
      beginNext();
    });

  return { next: take(false), urgent: take(true) };
}

/** One turn at a time for each key, in the order of the calls. */
export function createKeyedTurns(): (key: string) => TakeTurn {
  const byKey = new Map<string, { readonly turns: Turns; users: number }>();
  return (key) => async (signal) => {
    const entry = byKey.get(key) ?? { turns: createTurns(1), users: 0 };
    byKey.set(key, entry);
    entry.users++;
    const leave = () => {
      if (--entry.users === 0) byKey.delete(key);
    };
    try {
      const end = await entry.turns.next(signal);
      return () => {
        end();
        leave();
      };
    } catch (thrown) {
      leave();
      throw thrown;
    }
  };
}
