/** Micro-batches that one member is asked to compute, by name: second opinions and audits (docs/protocol.md). */
import type { Order } from "../../shared/protocol/messages.ts";
import type { Training } from "./state.ts";

/** Asks the worker; that is announced with the state. */
export function withOrder(training: Training, order: Omit<Order, "id">): Training {
  const { orders, nextOrder: id } = training;
  return { ...training, orders: [...orders, { id, ...order }], nextOrder: id + 1 };
}

export function orderFor(
  { orders }: Training,
  index: number,
  purpose: Order["purpose"],
): Order | undefined {
  return orders.find((order) => order.index === index && order.purpose === purpose);
}

/** Nobody is asked to do this any more. */
export function withoutOrders(training: Training, isOver: (order: Order) => boolean): Training {
  const orders = training.orders.filter((order) => !isOver(order));
  return orders.length === training.orders.length ? training : { ...training, orders };
}

/** Who of the candidates has the fewest orders; those who have equally few take turns with the micro-batches. */
export function leastAsked(
  { orders }: Training,
  candidates: readonly string[],
  index: number,
): string | null {
  const openOf = (worker: string) => orders.filter((order) => order.worker === worker).length;
  const turned = candidates.map((_, place) => candidates[(place + index) % candidates.length]!);
  return turned.sort((a, b) => openOf(a) - openOf(b))[0] ?? null;
}
