package midhooktest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/midhook/midhook"
)

// RedirectTrap delivers to the URL as it is, without a session, and to its other
// spelling, with or without a slash at the end.
var RedirectTrap = Scenario{
	Name: "redirect-trap",
	Rule: "Midtrans takes a 301, 302 or 303 (to a login, https or a slash) as the end, and the payment is lost: the URL must not redirect, in either spelling.",
	play: (*performance).redirectTrap,
}

func (p *performance) redirectTrap() {
	trapped := func(d Delivery) bool {
		return slices.ContainsFunc(d.Attempts, func(a Attempt) bool {
			return a.Err == nil && a.Status >= http.StatusMovedPermanently && a.Status <= http.StatusSeeOther
		})
	}
	order := p.order()
	d := p.deliver(p.happened(p.paid(order)))
	if trapped(d) {
		p.broken(p.Rule, "%s", d)
	} else {
		p.delivered(d)
		p.fulfilled(1, order)
	}
	u, _, err := p.Engine.route("")
	if err != nil || u.Path == "" || u.Path == "/" {
		return // with no other spelling; and err, the first delivery has told
	}
	spelling := *u
	spelling.RawPath = ""
	if spelling.Path = strings.TrimSuffix(u.Path, "/"); spelling.Path == u.Path {
		spelling.Path += "/"
	}
	once := p.Engine.policy().once()
	if d := p.ship(shipment{n: p.happened(p.paid(p.order())), url: spelling.String(), policy: &once}); trapped(d) {
		p.broken(p.Rule, "%s:\n%s", spelling.Path, d)
	}
}

// DashboardTest sends the test notification of Midtrans' dashboard: validly signed, of
// a payment that nobody made and an order that nobody placed.
var DashboardTest = Scenario{
	Name: "dashboard-test",
	Rule: "The dashboard's test notification, of an order_id that begins with payment_notif_test_, must be answered 2xx: the dashboard takes anything else for a URL that does not work.",
	play: (*performance).dashboardTest,
}

func (p *performance) dashboardTest() {
	once := p.Engine.policy().once()
	p.delivered(p.ship(shipment{n: Sample("dashboard-test", Time(p.start)), policy: &once}))
}

// KeyRotation sends ten notifications, from the half on signed with the Subject's
// NextKey, and then again the last that was signed with the old one.
var KeyRotation = Scenario{
	Name: "key-rotation",
	Rule: "While the server key is changed, notifications come that are signed with the old key and with the next: both must be accepted.",
	play: (*performance).keyRotation,
}

func (p *performance) keyRotation() {
	if !p.needs("a NextKey", p.NextKey != "") {
		return
	}
	const orders = 10
	var ids []string
	var ds []Delivery
	var last *midhook.Notification
	for i := range orders {
		ids = append(ids, p.order())
		n := p.happened(p.paid(ids[i]))
		if i < orders/2 {
			last = n
			ds = append(ds, p.deliver(n))
		} else {
			ds = append(ds, p.ship(shipment{n: n, body: Body(n, p.NextKey)}))
		}
		p.pause(time.Minute)
	}
	ds = append(ds, p.deliver(last), p.ship(shipment{n: last, body: Body(last, p.NextKey)}))
	p.delivered(ds...)
	p.fulfilled(1, ids...)
}
