-- What the shop has sold. paid_by is the payment that the goods were delivered for.
CREATE TABLE IF NOT EXISTS orders (
	id        text PRIMARY KEY,
	amount    bigint NOT NULL, -- hundredths of a rupiah
	placed_at timestamptz NOT NULL DEFAULT now(),
	paid_by   text
);

CREATE INDEX IF NOT EXISTS orders_pending ON orders (placed_at) WHERE paid_by IS NULL;

-- What Midtrans has said of each payment. An order can have several: a customer who
-- gives one up and begins another can end up paying both.
CREATE TABLE IF NOT EXISTS payments (
	key            text PRIMARY KEY, -- PaymentKey
	order_id       text NOT NULL REFERENCES orders,
	transaction_id text UNIQUE, -- one payment is never counted for two orders
	paid           boolean NOT NULL DEFAULT false,
	refunded       bigint NOT NULL DEFAULT 0, -- hundredths, all refunds together
	reversed       boolean NOT NULL DEFAULT false
);

-- What the warehouse is to send. It has no unique index, so that the shop's test would
-- notice a parcel that is sent twice; orders.paid_by is what prevents it.
CREATE TABLE IF NOT EXISTS parcels (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	order_id text NOT NULL REFERENCES orders
);
