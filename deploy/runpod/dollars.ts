/** Money as people read it: cents, and more digits of a price that has them. */

/** "$0.46", "$12.00", "$0.225" */
export function dollars(amount: number): string {
  const text = amount.toFixed(3);
  return `$${text.endsWith("0") ? text.slice(0, -1) : text}`;
}
