package midhooktest

import "github.com/midhook/midhook"

// unpaidEndings are the ways in which a transaction ends that nobody has paid.
var unpaidEndings = []midhook.TransactionStatus{
	midhook.StatusExpire, midhook.StatusCancel, midhook.StatusDeny, midhook.StatusFailure,
}

// ended says that the attempt number nr to pay an order ended so.
func (p *performance) ended(order string, nr int, status midhook.TransactionStatus) *midhook.Notification {
	return p.notification("gopay", order, nr, Status("202", status), Field("settlement_time", nil))
}

// NeverPaid has payments expire, canceled, denied and failed, some without having
// been pending.
var NeverPaid = Scenario{
	Name: "never-paid",
	Rule: "A payment that expires, fails, is canceled or denied fulfils nothing, and its notification is to be answered 2xx: Midtrans will not change its mind.",
	play: (*performance).neverPaid,
}

func (p *performance) neverPaid() {
	for _, status := range unpaidEndings {
		usual, sudden := p.order(), p.order()
		p.delivered(
			p.deliver(p.happened(p.pending(usual))),
			p.deliver(p.happened(p.ended(usual, 1, status))),
			p.deliver(p.happened(p.ended(sudden, 1, status))),
			p.deliver(p.pending(sudden)),
		)
		p.fulfilled(0, usual, sudden)
	}
}

// AbandonedAttempt has customers begin to pay by one method and pay by another. The
// transaction that was given up ends before the other is paid, or after it.
var AbandonedAttempt = Scenario{
	Name: "abandoned-attempt",
	Rule: "An order may have several transactions: one that ends unpaid says nothing of the order, which another one pays, or has paid.",
	play: (*performance).abandonedAttempt,
}

func (p *performance) abandonedAttempt() {
	for _, status := range unpaidEndings {
		before, after := p.order(), p.order()
		ds := []Delivery{
			p.deliver(p.happened(p.pending(before))),
			p.deliver(p.happened(p.ended(before, 1, status))),
			p.deliver(p.happened(p.notification("bca-va", before, 2))),

			p.deliver(p.happened(p.pending(after))),
			p.deliver(p.happened(p.notification("bca-va", after, 2))),
		}
		p.delivered(ds...)
		p.fulfilled(1, before, after)
		p.delivered(p.deliver(p.happened(p.ended(after, 1, status))))
		for _, order := range []string{before, after} {
			p.fulfilled(1, order)
			p.refunded("0.00", order)
			p.reversed(false, order)
		}
	}
}
