// One visit: who is here, what they see, what they do. Each act is told to the service first,
// and the page shows what the service answers afterwards.

import * as api from "./api.js";
import { arrange, card, coupon, fill, make, money, picture, row, useCurrency } from "./draw.js";

const PLACES = 16;
const COUPONS = 3;
const TRAIL = 8;
const at = (id) => document.getElementById(id);

let shoppers = [];
let who = {};
let sentCoupon = null;
let open = null;
let cart = [];
let visit = 0; // answers for an earlier visit are dropped

const acts = { look, add, buy: (product) => purchase([product]) };

async function start() {
  const shop = await api.shop();
  useCurrency(shop.currency);
  shoppers = shop.members;
  for (const note of new Set(shoppers.map((one) => one.note))) {
    const options = shoppers.filter((one) => one.note === note).map((one) =>
      make("option", { value: one.member_id },
        `Member ${one.member_id}${one.usual ? ` · likes ${one.usual}` : ""}`));
    at("shopper").append(make("optgroup", { label: `Members: ${note}` }, ...options));
  }
  at("shopper").append(make("option", { value: "" }, "A new visitor"));
  at("shopper").addEventListener("change", () => guarded(enter));
  at("close").addEventListener("click", close);
  at("product-add").addEventListener("click", () => add(open));
  at("product-buy").addEventListener("click", () => purchase([open]));
  at("check-out").addEventListener("click", () => purchase(cart));
  showTime();
  setInterval(showTime, 1000);
  await enter();
}

async function enter() {
  visit += 1;
  const member = shoppers.find((one) => one.member_id === at("shopper").value);
  who = member ? { member_id: member.member_id } : { visitor_id: crypto.randomUUID() };
  sentCoupon = member?.coupon_id ?? null;
  cart = [];
  close();
  at("trail").replaceChildren(make("li", {}, "Nothing yet. Click a product, or buy one."));
  at("list").replaceChildren();
  say("");
  await Promise.all([showList(), showCoupons(), showCart()]);
}

function look(product) {
  return guarded(async () => {
    open = product;
    await told("view", [product], "You looked at");
    await Promise.all([showList(`because you looked at ${product.title}`), showProduct()]);
  });
}

function add(product) {
  return guarded(async () => {
    if (!cart.includes(product)) cart = [...cart, product];
    await told("add_to_cart", [product], "You added");
    await Promise.all([showList(`because you chose ${product.title}`), showCart()]);
  });
}

function purchase(products) {
  return guarded(async () => {
    if (!products.length) return;
    const order = { order_id: crypto.randomUUID() };
    await told("purchase", products, "You bought", order);
    cart = cart.filter((one) => !products.includes(one));
    if (products.includes(open)) close();
    const what = products.length > 1 ? `${products.length} products` : products[0].title;
    await Promise.all([showList(`because you bought ${what}`), showCart()]);
  });
}

function drop(product) {
  return guarded(async () => {
    cart = cart.filter((one) => one !== product);
    await showCart();
  });
}

async function told(kind, products, words, more) {
  const began = visit;
  await api.tell(who, kind, products.map((one) => one.product_id), more);
  if (began !== visit) return;
  if (at("trail").dataset.visit !== String(visit)) at("trail").replaceChildren();
  at("trail").dataset.visit = visit;
  const lines = products.map((one) =>
    make("li", {}, make("time", {}, clock(api.now())), ` ${words} ${one.title}`));
  at("trail").prepend(...lines);
  while (at("trail").children.length > TRAIL) at("trail").lastChild.remove();
}

/** The answer to a placement with its products, or null where the visit is over. */
async function placement(wanted) {
  const began = visit;
  const found = await api.recommendations(who, wanted);
  const products = await api.products(found.items.map((item) => item.product_id));
  return began === visit ? { ...found, products } : null;
}

let latestList = 0;

async function showList(why = "") {
  const turn = ++latestList;
  const found = await placement({ placement: "home", limit: PLACES });
  if (found === null || turn !== latestList) return;
  const list = at("list");
  const old = new Map([...list.children].map((one, place) => [one.dataset.product, { one, place }]));
  let fresh = 0;
  const cards = found.items.map((item, place) => {
    const was = old.get(item.product_id);
    const one = was?.one ?? card(found.products[place], acts);
    const higher = was ? was.place - place : 0;
    if (old.size && !was) fresh += 1;
    const badge = old.size && !was ? "new" : higher > 1 ? `↑ ${higher}` : "";
    one.querySelector(".badge").textContent = badge;
    one.querySelector(".reason").textContent = item.reason.text;
    one.dataset.reason = item.reason.code;
    return one;
  });
  const same = cards.every((one, place) => one === list.children[place]);
  arrange(list, cards);
  const what = fresh ? `${fresh} new in your list` : "Your list is in a new order";
  if (why) say(same ? "Your list stays as it is." : `${what}, ${why}.`);
  at("model").textContent = `Model ${found.model_version}.`;
}

async function showProduct() {
  const product = open;
  at("product-title").textContent = product.title;
  at("product-facts").textContent = [money(product.price), ...product.category.map(sentence)]
    .filter(Boolean).join(" · ");
  picture(at("product-tile"), product);
  const found = await placement({ placement: "product", product_id: product.product_id, limit: 4 });
  if (found === null || open !== product) return;
  fill(at("together"), found.products.map(addable));
  at("product").hidden = false;
  at("product").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

async function showCart() {
  const lines = cart.map((one) => row(one, look, ["×", "Take out", drop]));
  fill(at("cart"), lines.length ? lines : [nothing("Nothing in it yet.")]);
  at("total").textContent = money(cart.reduce((sum, one) => sum + (one.price ?? 0), 0));
  at("cart-part").hidden = !cart.length;
  if (!cart.length) return;
  const ids = cart.map((one) => one.product_id);
  const found = await placement({ placement: "cart", cart: ids, limit: 4 });
  if (found === null || ids.length !== cart.length) return;
  fill(at("fill-ups"), found.products.map(addable));
}

const nothing = (text) => make("li", { className: "empty" }, text);
const addable = (product) => row(product, look, ["+", "Add to the cart:", add]);

async function showCoupons() {
  const began = visit;
  const found = await api.coupons(who);
  const sent = (one) => one.coupon_id === sentCoupon;
  const chosen = [...found.filter(sent), ...found.filter((one) => !sent(one))].slice(0, COUPONS);
  const products = await Promise.all(chosen.map((one) => api.products(one.products)));
  if (began !== visit) return;
  const empty = who.member_id ? "None that pays off today." : "Coupons are for members.";
  const drawn = chosen.map((one, place) =>
    coupon(one, [...new Set(products[place].map((product) => product.title))], sent(one)));
  fill(at("coupons"), drawn.length ? drawn : [nothing(empty)]);
}

function close() {
  const left = at("product").contains(document.activeElement) && open;
  open = null;
  at("product").hidden = true;
  if (!left) return;
  const card = [...at("list").children].find((one) => one.dataset.product === left.product_id);
  (card?.querySelector(".title") ?? at("list")).focus({ preventScroll: true });
}

function say(text) {
  at("news").textContent = text;
}

const sentence = (text) => text.charAt(0) + text.slice(1).toLowerCase();
const clock = (date) => date.toISOString().slice(11, 16);

function showTime() {
  const now = api.now();
  at("now").dateTime = now.toISOString();
  at("now").textContent = now.toLocaleString("en-GB", {
    dateStyle: "medium", timeStyle: "short", timeZone: "UTC",
  }) + " UTC";
}

async function guarded(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    say(error.message);
  }
}

guarded(start);
