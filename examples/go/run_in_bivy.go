// How a Go program runs one command in bivy and reads the record. Only the standard library is used.
//
//	go run . [BIVY-OPTION...] -- COMMAND [ARG...]     BIVY: the program, default "bivy" on the PATH
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// Record has those keys of bivy's record that this program looks at; docs/record.schema.json has them all.
type Record struct {
	Outcome    string `json:"outcome"`
	ExitCode   *int   `json:"exit_code"`
	SignalName string `json:"signal_name"`
	Error      *struct {
		Stage   string `json:"stage"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
	Stdout struct {
		Truncated bool `json:"truncated"`
	} `json:"stdout"`
	LimitsHit []string `json:"limits_hit"`
	Hints     []struct {
		Hint string `json:"hint"`
	} `json:"hints"`
}

// RunInBivy gives the record, stdout and stderr. The record says how the command ended; an exit status alone cannot. When ctx is
// done bivy ends the sandbox, and the outcome is "cancelled". An error means that there is no record.
func RunInBivy(ctx context.Context, command []string, options ...string) (*Record, []byte, []byte, error) {
	program := os.Getenv("BIVY")
	if program == "" {
		program = "bivy"
	}
	words := append([]string{"run", "--report", "fd:3"}, options...)
	bivy := exec.Command(program, append(append(words, "--"), command...)...)
	var stdout, stderr bytes.Buffer
	bivy.Stdout, bivy.Stderr = &stdout, &stderr
	report, end, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer report.Close()
	bivy.ExtraFiles = []*os.File{end} // the first of them is descriptor 3
	err = bivy.Start()
	end.Close()
	if err != nil {
		return nil, nil, nil, err
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done(): // SIGTERM, not Kill: bivy ends everything inside, and says in the record that it did
			bivy.Process.Signal(syscall.SIGTERM)
		case <-ended:
		}
	}()
	text, err := io.ReadAll(report)
	waited := bivy.Wait()
	close(ended)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(text) == 0 { // a wrong --report option, or bivy itself was killed
		return nil, nil, nil, fmt.Errorf("bivy wrote no record (%v): %s", waited, stderr.Bytes())
	}
	record := new(Record)
	return record, stdout.Bytes(), stderr.Bytes(), json.Unmarshal(text, record)
}

// Sentence says what became of the command, for people, and what bivy advises.
func (record *Record) Sentence() string {
	text := "the sandbox ended in a way that this program does not know: " + record.Outcome
	switch record.Outcome {
	case "exited":
		text = fmt.Sprintf("the command exited with status %d", *record.ExitCode)
	case "signaled":
		text = record.SignalName + " ended the command"
	case "timeout":
		text = "the command was ended because its time was up"
	case "oom":
		text = "the command was ended because its memory was used up"
	case "output_limit":
		text = "the command was ended because it wrote too much"
	case "cancelled":
		text = "the command was ended because we asked for it"
	case "setup_failed":
		text = fmt.Sprintf("nothing ran: %s", record.Error.Message)
		if record.Error.Hint != "" {
			text += "; " + record.Error.Hint
		}
	case "stuck":
		text = "a file system does not answer and holds the command; tell whoever runs this host"
	}
	for _, hint := range record.Hints {
		text += "; " + hint.Hint
	}
	return text
}

func run() error {
	words, end := os.Args[1:], -1
	for i, word := range words {
		if word == "--" {
			end = i
			break
		}
	}
	if end < 0 {
		return errors.New("usage: run_in_bivy [BIVY-OPTION...] -- COMMAND [ARG...]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	record, stdout, stderr, err := RunInBivy(ctx, words[end+1:], words[:end]...)
	if err != nil {
		return err
	}
	os.Stderr.Write(stderr)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"outcome": record.Outcome, "exit_code": record.ExitCode, "stdout": strings.ToValidUTF8(string(stdout), "\uFFFD"),
		"truncated": record.Stdout.Truncated, "limits_hit": record.LimitsHit, "sentence": record.Sentence()})
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "run_in_bivy:", err)
		os.Exit(1)
	}
}
