// Package loadkit is what the programs share that put a server of this machine under
// load: connections of clients that cost little, durations that are counted, and
// processes on cores of their own. Nothing of it leaves this machine.
package loadkit
