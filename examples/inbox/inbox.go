package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/sqlstore"
)

// maxAttempts are River's for one job, the last of them two days after the first. Then
// the job is a dead letter.
const maxAttempts = 15

// letter is a job's arguments.
//
// Raw is all that Midtrans has sent, in base64, which hides nothing: the customer's
// phone number, the masked card, virtual account numbers, whatever is in the custom
// fields, and the signature. It lies in river_job.args, in the database's backups and
// on the pages of River's UI for as long as River keeps the job. Who may read the
// table may read that.
//
// Raw is bytes and not JSON, because a column of type jsonb drops what it finds
// superfluous, and refuses a \u0000 that a customer has typed. A Notification would
// not do: its JSON is what may be shown, and has neither signature nor refunds.
type letter struct {
	OrderID string `json:"order_id"`
	Raw     []byte `json:"raw"`
}

func (letter) Kind() string { return "midtrans_notification" }

// inbox keeps notifications until they are handled.
type inbox struct {
	river.WorkerDefaults[letter]
	*database
	river  *river.Client[*sql.Tx]
	handle func(context.Context, *midhook.Notification) error
}

func newInbox(d *database, handle func(context.Context, *midhook.Notification) error, attempts int) (*inbox, error) {
	in := &inbox{database: d, handle: handle}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, in); err != nil {
		return nil, err
	}
	client, err := river.NewClient(d.driver, &river.Config{
		Queues:       map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Workers:      workers,
		MaxAttempts:  attempts,
		ErrorHandler: deadLetters{},
		// Where the database cannot tell the workers of a new job, they look this often.
		FetchPollInterval: 200 * time.Millisecond,
		// What is handled needs not be kept. A dead letter stays for someone to look at.
		CompletedJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 30 * 24 * time.Hour,
	})
	in.river = client
	return in, err
}

// receive answers Midtrans: the notification is an event that was handled, and a job,
// or neither.
func (in *inbox) receive(ctx context.Context, n *midhook.Notification) error {
	tx, err := in.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	switch err := in.store.FinishTx(ctx, tx); {
	case errors.Is(err, sqlstore.ErrFinished):
		return nil // an earlier run of this delivery was committed
	case err != nil:
		return err
	}
	if _, err := in.river.InsertTx(ctx, tx, letter{OrderID: n.OrderID, Raw: n.Raw()}, nil); err != nil {
		return err
	}
	return tx.Commit()
}

// Work handles one notification. River runs it again after an error, and after a
// crash, so that what it does must be safe to do twice.
//
// River runs jobs beside each other, and what fails comes again later, after what came
// after it. So a job waits for the earlier ones of its order. Those that are finished
// or dead letters hold nothing up. Midhook sees to the order at the door: of one
// transaction's events one is received at a time, and what comes too late is not.
func (in *inbox) Work(ctx context.Context, job *river.Job[letter]) error {
	var earlier int
	if err := in.db.QueryRowContext(ctx, `
SELECT count(*) FROM river_job WHERE kind = $1 AND id < $2 AND args->>'order_id' = $3
AND state NOT IN ('completed', 'cancelled', 'discarded')`,
		job.Kind, job.ID, job.Args.OrderID).Scan(&earlier); err != nil {
		return err
	}
	if earlier > 0 {
		return river.JobSnooze(time.Second) // does not count as an attempt
	}
	n := new(midhook.Notification)
	if err := json.Unmarshal(job.Args.Raw, n); err != nil { // this is midhook.Parse
		return river.JobCancel(err) // no retry mends it
	}
	return in.handle(ctx, n)
}

// stop lets the jobs end that are running. Those of a process that is killed instead
// are run again after an hour, River's RescueStuckJobsAfter.
func (in *inbox) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return in.river.Stop(ctx)
}

// deadLetters reports the jobs that River gives up. The notification was answered 200
// long ago: nobody but the merchant will try again.
type deadLetters struct{}

func (deadLetters) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	level, message := slog.LevelWarn, "notification not handled, River tries again"
	if job.Attempt >= job.MaxAttempts {
		level, message = slog.LevelError, "dead letter: notification not handled for good"
	}
	slog.Log(ctx, level, message, "job", job.ID, "attempt", job.Attempt, "error", err)
	return nil
}

func (d deadLetters) HandlePanic(ctx context.Context, job *rivertype.JobRow, _ any, trace string) *river.ErrorHandlerResult {
	return d.HandleError(ctx, job, errors.New("panic:\n"+trace))
}

// Interface guards
var (
	_ river.Worker[letter] = (*inbox)(nil)
	_ river.ErrorHandler   = deadLetters{}
)
