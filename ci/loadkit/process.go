package loadkit

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Cores are those that this process may use, by the system's numbers; none where the
// system does not say.
func Cores() []string {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return parseCores(strings.TrimSpace(list))
		}
	}
	return nil
}

// parseCores reads a list as Linux writes it, such as 0-2,5.
func parseCores(list string) (cores []string) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return nil
		}
		for core := from; core <= to; core++ {
			cores = append(cores, strconv.Itoa(core))
		}
	}
	return cores
}

// Command runs this program in another process, on the core of that number among
// those which this process may use; where there are fewer, on the last of them, and
// where taskset is missing, on any. Its standard error is this process's.
func Command(core int, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args = append([]string{self}, args...)
	if taskset, number := taskset(core); taskset != "" {
		args = append([]string{taskset, "-c", number}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// Pin keeps this process, and those that it starts from now on, on the core of that
// number, by the rules of [Command].
func Pin(core int) error {
	taskset, number := taskset(core)
	if taskset == "" {
		return nil
	}
	return exec.Command(taskset, "-a", "-p", "-c", number, strconv.Itoa(os.Getpid())).Run()
}

// taskset is the program's path, empty where it is missing or may not pin, and the
// system's number of the core, by the rules of [Command].
func taskset(core int) (path, number string) {
	cores := Cores()
	path, err := exec.LookPath("taskset")
	if err != nil || len(cores) == 0 {
		return "", ""
	}
	number = cores[min(core, len(cores)-1)]
	if exec.Command(path, "-c", number, "true").Run() != nil {
		return "", ""
	}
	return path, number
}

// CPU is the time that a process which has ended used of all cores.
func CPU(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// MachineLoad is the load of the last 1, 5 and 15 minutes, empty where the system does
// not say.
func MachineLoad() string {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
