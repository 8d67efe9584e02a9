package midhooktest

// Scenarios returns all scenarios: what becomes of the deliveries, what Midtrans says
// of a payment and of what comes after it, and what strangers make of that.
func Scenarios() []Scenario {
	return []Scenario{
		DuplicateStorm, OutOfOrder, CaptureThenSettlement, SlowHandler, Crash, Outage, Burst,
		RedirectTrap, KeyRotation, DashboardTest,
		EveryMethod, NewFields, Challenge, Authorize, NeverPaid, AbandonedAttempt, WrongAmount,
		Refunds, RefundFirst, TakenBack,
		Tampering, EditedStatus, LookAlikeNames,
	}
}
