"""What customers and workers of the simulated shop do: one function a story."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from tracestore.cli.shop import (
    Attribute,
    DeadlockDetectedError,
    GatewayTimeoutError,
    Kind,
    OutOfStockError,
    PaymentDeclinedError,
    PlannedSpan,
    SearchTimeoutError,
    SmtpServerDisconnectedError,
    Visit,
    answer,
)

SERVICES = (
    "frontend",
    "catalog",
    "search",
    "recommendation",
    "cart",
    "checkout",
    "payment",
    "shipping",
    "inventory-worker",
    "email",
)
_PRODUCTS = ("teapot", "kettle", "mug", "whisk", "tray", "strainer", "caddy", "scale")
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone)", "ShopApp/4.2", "curl/8.5.0")
_ATTEMPTS_MAX = 3


class Shop:
    """The shop with its order queue. One instance per run; not for several threads."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._orders = 100_000
        self._queue: list[PlannedSpan] = []
        """Producer spans of orders that no worker has taken yet."""
        self._stories: dict[Callable[[Visit], None], float] = {
            self._home: 30,
            self._product: 30,
            self._search: 12,
            self._view_cart: 10,
            self._add_to_cart: 10,
            self._checkout: 14,
            self._reserve_stock: 6,
            self._sync_warehouse: 1,
        }

    def next_visit(self) -> Visit:
        """Plan the next thing that happens."""
        (story,) = self._chance.choices(list(self._stories), list(self._stories.values()))
        visit = Visit(self._chance)
        story(visit)
        return visit

    def _customer(self, page: PlannedSpan) -> None:
        page.attributes["user_agent.original"] = self._chance.choice(_AGENTS)
        page.attributes["enduser.id"] = f"customer-{self._chance.randrange(500):03d}"
        page.attributes["client.address"] = f"203.0.113.{self._chance.randrange(1, 255)}"

    def _home(self, visit: Visit) -> None:
        with visit.serve("frontend", "GET", "/", "/") as page:
            self._customer(page)
            visit.together(
                partial(self._list_products, visit),
                partial(self._recommend, visit, self._chance.choice(_PRODUCTS)),
            )
            visit.work(1, 15)

    def _product(self, visit: Visit) -> None:
        product = self._chance.choice(_PRODUCTS)
        with visit.serve("frontend", "GET", "/product/{id}", f"/product/{product}") as page:
            self._customer(page)
            page.attributes["shop.product.id"] = product
            with visit.rpc("frontend", "catalog", "Catalog", "GetProduct"):
                cached = visit.likely(0.7)
                span = visit.query("catalog", f"GET product:{product}", system="redis", slow=0)
                span.attributes["cache.hit"] = cached
                if not cached:
                    visit.query("catalog", "SELECT name, price FROM products WHERE id = $1")
            self._recommend(visit, product)

    def _search(self, visit: Visit) -> None:
        with visit.serve("frontend", "GET", "/api/search", "/api/search") as page:
            self._customer(page)
            page.attributes["url.query"] = f"q={self._chance.choice(_PRODUCTS)[:3]}"
            with visit.call("frontend", "search", "POST", "/find", "/find") as find:
                span = visit.query("search", "GET products-v3/_search", system="elasticsearch")
                span.attributes["db.elasticsearch.took_ms"] = int(visit.now_s * 1000)
                find.attributes["shop.search.hits"] = self._chance.randrange(40)
                if visit.likely(0.05):
                    visit.work(500, 900)
                    visit.fail(find, SearchTimeoutError("no answer from products-v3 in 500 ms"))
                    answer(find, 504)
            answer(page, int(find.attributes["http.response.status_code"]))

    def _list_products(self, visit: Visit) -> None:
        with visit.rpc("frontend", "catalog", "Catalog", "ListProducts"):
            visit.query("catalog", "SELECT id, name, price FROM products ORDER BY rank LIMIT 24")

    def _recommend(self, visit: Visit, product: str) -> None:
        with visit.call(
            "frontend", "recommendation", "GET", "/for/{id}", f"/for/{product}"
        ) as work:
            model = "deep-v2" if visit.likely(0.1) else "fast-v7"
            work.attributes["shop.recommendation.model"] = model
            with visit.span("recommendation", "rank", Kind.INTERNAL, {"shop.candidates": 120}):
                visit.work(2, 20)
                if model == "deep-v2":
                    visit.work(400, 2500)

    def _view_cart(self, visit: Visit) -> None:
        with visit.serve("frontend", "GET", "/cart", "/cart") as page:
            self._customer(page)
            self._read_cart(visit, "frontend")

    def _read_cart(self, visit: Visit, caller: str) -> None:
        with visit.rpc(caller, "cart", "Cart", "GetCart"):
            visit.query("cart", "HGETALL cart", system="redis", slow=0.005)

    def _add_to_cart(self, visit: Visit) -> None:
        with visit.serve("frontend", "POST", "/api/cart", "/api/cart") as page:
            self._customer(page)
            with visit.rpc("frontend", "cart", "Cart", "AddItem") as add:
                add.attributes["shop.product.id"] = self._chance.choice(_PRODUCTS)
                add.attributes["shop.quantity"] = self._chance.randrange(1, 5)
                visit.query("cart", "HINCRBY cart", system="redis", slow=0.005)

    def _checkout(self, visit: Visit) -> None:
        self._orders += 1
        order = f"ORD-{self._orders}"
        total = round(self._chance.uniform(8, 400), 2)
        with visit.serve("frontend", "POST", "/api/checkout", "/api/checkout") as page:
            self._customer(page)
            with visit.call("frontend", "checkout", "POST", "/orders", "/orders") as work:
                work.attributes |= {"shop.order.id": order, "shop.order.total": total}
                self._read_cart(visit, "checkout")
                self._quote_shipping(visit)
                status = self._pay(visit, order, total)
                if status == 200:
                    status = self._store_order(visit, work)
                if status == 200:
                    self._publish(visit, order)
                answer(work, status)
            answer(page, status)

    def _quote_shipping(self, visit: Visit) -> None:
        with visit.call("checkout", "shipping", "POST", "/quote", "/quote") as quote:
            quote.attributes["shop.shipping.carrier"] = self._chance.choice(("post", "bike", "van"))
            if visit.likely(0.04):
                visit.note(quote, "carrier.slow", **{"shop.carrier.timeout_ms": 1000})
                visit.work(1000, 1800)

    def _pay(self, visit: Visit, order: str, total: float) -> int:
        """Charge the card, again if the bank does not answer; returns the HTTP status."""
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            with visit.rpc("checkout", "payment", "Payment", "Charge") as charge:
                charge.attributes |= {"shop.order.id": order, "shop.order.total": total}
                charge.attributes["shop.payment.attempt"] = attempt
                if visit.likely(0.04):
                    visit.work(30, 90)
                    visit.fail(charge, PaymentDeclinedError(f"card refused for {order}"))
                    charge.attributes["rpc.grpc.status_code"] = 9
                    return 402
                # A bank that did not answer the first time is often down for a while.
                if not visit.likely(0.12 if attempt == 1 else 0.5):
                    bank = {"http.request.method": "POST", "server.address": "bank.example"}
                    with visit.span(
                        "payment", "POST", Kind.CLIENT, {**bank, "peer.service": "bank"}
                    ):
                        visit.work(20, 180)
                    visit.query("payment", "INSERT INTO charges (order_id, amount) VALUES ($1, $2)")
                    return 200
                visit.work(300, 600)
                visit.fail(charge, GatewayTimeoutError(f"no answer from bank.example for {order}"))
                charge.attributes["rpc.grpc.status_code"] = 14
            visit.note(visit.spans[0], "payment.retry", **{"shop.payment.attempt": attempt})
            visit.work(20, 60)
        return 503

    def _store_order(self, visit: Visit, work: PlannedSpan) -> int:
        insert = visit.query(
            "checkout", "INSERT INTO orders (id, total) VALUES ($1, $2)", slow=0.05
        )
        if not visit.likely(0.04):
            return 200
        error = DeadlockDetectedError("deadlock detected: process 4711 waits for ShareLock")
        insert.error = str(error)
        visit.fail(work, error)
        return 500

    def _publish(self, visit: Visit, order: str) -> None:
        """Put the order on the queue. The mail goes out at once, stock is reserved in batches."""
        messaging: dict[str, Attribute] = {
            "messaging.system": "kafka",
            "messaging.destination.name": "orders",
        }
        publish: dict[str, Attribute] = {
            **messaging,
            "messaging.operation": "publish",
            "shop.order.id": order,
        }
        with visit.span("checkout", "orders publish", Kind.PRODUCER, publish) as producer:
            visit.work(1, 6)
            self._queue.append(producer)
            process: dict[str, Attribute] = {
                **messaging,
                "messaging.operation": "process",
                "shop.order.id": order,
            }
            back_s = visit.now_s
            visit.work(5, 80)
            with visit.span("email", "orders process", Kind.CONSUMER, process) as consumer:
                consumer.links.append(producer)
                self._send_mail(visit, consumer)
            # The producer does not wait for who reads the queue.
            visit.now_s = back_s

    def _send_mail(self, visit: Visit, consumer: PlannedSpan) -> None:
        smtp: dict[str, Attribute] = {"server.address": "smtp.shop.svc", "server.port": 25}
        with visit.span("email", "smtp send", Kind.CLIENT, smtp) as send:
            visit.work(10, 120)
            if visit.likely(0.05):
                visit.fail(send, SmtpServerDisconnectedError("connection unexpectedly closed"))
                consumer.error = "mail not sent"

    def _reserve_stock(self, visit: Visit) -> None:
        """A worker takes a batch off the queue: a trace of its own that links to the orders."""
        batch, self._queue = self._queue[:5], self._queue[5:]
        attributes: dict[str, Attribute] = {
            "messaging.system": "kafka",
            "messaging.destination.name": "orders",
            "messaging.operation": "process",
            "messaging.batch.message_count": len(batch),
        }
        with visit.span("inventory-worker", "orders process", Kind.CONSUMER, attributes) as work:
            work.links.extend(batch)
            visit.work(1, 5)
            for producer in batch:
                update = visit.query(
                    "inventory-worker", "UPDATE stock SET left = left - 1", slow=0.03
                )
                update.attributes["shop.order.id"] = producer.attributes["shop.order.id"]
                if visit.likely(0.05):
                    product = self._chance.choice(_PRODUCTS)
                    visit.fail(update, OutOfStockError(f"no {product} left in warehouse 2"))
                    work.error = "some orders could not be reserved"

    def _sync_warehouse(self, visit: Visit) -> None:
        with visit.span("inventory-worker", "sync warehouse", Kind.INTERNAL) as job:
            for page in range(self._chance.randrange(3, 12)):
                select = visit.query("inventory-worker", "SELECT id, left FROM stock WHERE id > $1")
                select.attributes["shop.page"] = page
            job.attributes["shop.rows"] = self._chance.randrange(300, 1200)
