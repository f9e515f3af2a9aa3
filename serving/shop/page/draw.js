// Draws products, coupons and lines. Every text goes in as text, never as markup.

const ICONS = [
  ["egg", /EGG/],
  ["milk", /MILK|YOGURT|CHEESE|BUTTER|MARGARINE|CREAM\b|DAIRY/],
  ["frozen", /FRZN|FROZEN|\bICE\b/],
  ["fish", /FISH|SEAFOOD|SHRIMP|TUNA/],
  ["meat", /MEAT|BEEF|PORK|CHICKEN|TURKEY|BACON|HAM\b|LUNCH|SAUSAGE|FRANKS|\bDELI\b/],
  ["bread", /BREAD|BAKERY|BUN|ROLL|PASTRY|CAKE|BAGEL|DONUT/],
  ["cup", /DRINK|JUICE|WATER|COFFEE|\bTEA|BEER|WINE|BEVERAGE|SOFT DR/],
  ["paw", /\bPET\b|\bDOG|\bCAT (FOOD|LITTER)/],
  ["cookie", /COOKIE|CANDY|SNACK|CHIP|CRACKER|POPCORN/],
  ["leaf", /PRODUCE|FRUIT|VEG|SALAD|BANANA|APPLE|BERR|TOMATO|POTATO|ONION|LETTUCE|GARDEN|FLORAL/],
  ["bottle", /DRUG|SOAP|HAIR|COSMETIC|SHAMPOO|CARE|DETERGENT|CLEAN|BLEACH|MEDIC|VITAMIN/],
  ["roll", /PAPER|TISSUE|TOWEL|DIAPER|\bBAGS?\b|FOIL|HOUSEHOLD/],
  ["can", /SOUP|\bCANS?\b|SAUCE|BEAN|PASTA|CEREAL|RICE|PEANUT|SPICE|GROCERY/],
];
const SVG = "http://www.w3.org/2000/svg";

/** Makes an element: properties by name, children as elements or text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

let format = new Intl.NumberFormat("en");

export function useCurrency(currency) {
  format = new Intl.NumberFormat("en", { style: "currency", currency });
}

export const money = (amount) => (amount === null ? "" : format.format(amount));

function icon(product) {
  const levels = [...product.category].reverse();
  for (const level of levels) {
    const found = ICONS.find(([, words]) => words.test(level.toUpperCase()));
    if (found) return found[0];
  }
  return "basket";
}

/** Fills a tile with the picture of the product's kind. */
export function picture(tile, product) {
  const name = icon(product);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `kinds.svg#${name}`);
  svg.append(use);
  tile.dataset.kind = name;
  tile.replaceChildren(svg);
  return tile;
}

export function shelf(product) {
  const levels = product.category.map((level) => level.toLowerCase());
  return levels.slice(-2, -1)[0] ?? levels[0] ?? "";
}

/** One place of the list. acts: look, add and buy, each called with the product. */
export function card(product, acts) {
  const reason = make("p", { className: "reason" });
  const look = make("button", { type: "button", className: "title" }, product.title);
  const add = make("button", { type: "button", ariaLabel: `Add ${product.title} to the cart` }, "Add");
  const buy = make("button", { type: "button", ariaLabel: `Buy ${product.title} now` }, "Buy");
  look.addEventListener("click", () => acts.look(product));
  add.addEventListener("click", () => acts.add(product));
  buy.addEventListener("click", () => acts.buy(product));
  const element = make(
    "li", { className: "card" },
    picture(make("div", { className: "tile" }), product),
    make("p", { className: "badge" }),
    make("p", { className: "kind" }, shelf(product)),
    make("h2", {}, look),
    make("p", { className: "price" }, money(product.price)),
    reason,
    make("div", { className: "acts" }, add, buy),
  );
  element.dataset.product = product.product_id;
  return element;
}

/** A line of a short list; act: its one button, [text, what it does] */
export function row(product, look, [text, label, act]) {
  const title = make("button", { type: "button", className: "title" }, product.title);
  title.addEventListener("click", () => look(product));
  const button = make("button", { type: "button", ariaLabel: `${label} ${product.title}` }, text);
  button.addEventListener("click", () => act(product));
  const element = make(
    "li", {},
    picture(make("div", { className: "tile small" }), product),
    title,
    make("span", { className: "price" }, money(product.price)),
    button,
  );
  element.dataset.product = product.product_id;
  return element;
}

/** titles: of the products it counts for, the first of which its reason names */
export function coupon(one, titles, sent) {
  return make(
    "li", { className: sent ? "coupon sent" : "coupon" },
    sent ? make("p", { className: "stamp" }, "Sent to you today") : null,
    make("h3", {}, one.title),
    make("p", { className: "reason" }, one.reason?.text ?? ""),
    one.code ? make("p", { className: "facts" }, `Your code: ${one.code}`) : null,
    titles.length > 1 ? make("p", { className: "facts" }, `Also ${titles.slice(1).join(", ")}`) : null,
  );
}

/** Replaces a list's children; who was inside with the keyboard stays inside. */
export function fill(list, children) {
  const focused = document.activeElement;
  const inside = list.contains(focused);
  list.replaceChildren(...children);
  if (!inside) return;
  list.tabIndex = -1;
  (list.contains(focused) ? focused : list).focus({ preventScroll: true });
}

/** Puts the cards of a list in place; what moved glides, what is new shows it. */
export function arrange(list, cards) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const before = new Map([...list.children].map((one) => [one, one.getBoundingClientRect()]));
  fill(list, cards);
  if (calm || !before.size) return;
  for (const one of cards) {
    const was = before.get(one);
    const is = one.getBoundingClientRect();
    const frames = was
      ? [{ transform: `translate(${was.x - is.x}px, ${was.y - is.y}px)` }, { transform: "none" }]
      : [{ opacity: 0, transform: "scale(.94)" }, { opacity: 1, transform: "none" }];
    one.animate(frames, { duration: 420, easing: "cubic-bezier(.2, .7, .2, 1)" });
  }
}
