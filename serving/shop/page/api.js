// What the page asks of the service. Events carry the service's clock, which may be simulated.

export class Refused extends Error {}

let serviceTime = 0;
let askedAt = 0;

/** The service's present, as a Date. */
export function now() {
  return new Date(serviceTime + performance.now() - askedAt);
}

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, options).catch(() => null);
  if (answer === null) throw new Refused("The service does not answer. Is it still running?");
  const facts = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(String(facts.detail ?? `The service said ${answer.status}`));
  return facts;
}

/** Who can be picked; sets the clock. */
export async function shop() {
  const found = await ask("/shop/members");
  serviceTime = Date.parse(found.now);
  askedAt = performance.now();
  return found;
}

/** who: {member_id} or {visitor_id}; wanted: placement, limit and what the placement needs. */
export const recommendations = (who, wanted) => ask("/v1/recommendations", { ...who, ...wanted });

export async function coupons(who) {
  if (!who.member_id) return [];
  const query = new URLSearchParams({ member_id: who.member_id, limit: 50 });
  return (await ask(`/v1/coupons?${query}`)).items;
}

const known = new Map();

/** Title, category and price of products, each asked for once. */
export async function products(ids) {
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  if (missing.length) {
    const query = new URLSearchParams(missing.map((id) => ["ids", id]));
    const found = await ask(`/shop/products?${query}`);
    for (const id of missing) {
      known.set(id, { product_id: id, title: id, category: [], price: null, ...found[id] });
    }
  }
  return ids.map((id) => known.get(id));
}

/** One event for each product; the ids make a repeated call harmless. */
export function tell(who, kind, ids, more = {}) {
  const occurred_at = now().toISOString();
  const events = ids.map((product_id) => ({
    event_id: crypto.randomUUID(), kind, product_id, occurred_at, ...who, ...more,
  }));
  return ask("/v1/events", { events });
}
