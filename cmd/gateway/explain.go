package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/gateway"
	"github.com/sallyport/sallyport/internal/telemetry"
)

// explainTimeout bounds what explain fetches before it answers, all in all.
const explainTimeout = 20 * time.Second

func newExplain(std streams) *cobra.Command {
	var file, method, output, ip string
	var headers []string
	c := &cobra.Command{
		Use:   "explain URL",
		Short: "What would become of a request, check by check, and why",
		Long: `Tell what would become of a request, check by check, and why. URL is absolute, or
a path. Secrets, published keys and the upstream's tokens are fetched once; the
request goes nowhere, no limit counts it, and no credential is printed.

The checks in their order: normalise, route, limit_address, authenticate,
authorise, limit_principal, inject. Each says pass, deny or skip. Status 200
stands for whatever the upstream would answer. The exit status is 0 whatever the
decision. Buckets of limits are those of a gateway that has just started; ask the
admin API of one that serves for its own: POST /api/v1/explain.`,
		Example: `  gateway explain -c gateway.yaml https://orders.example.com/orders/1
  gateway explain -X POST -H "Authorization: Bearer $TOKEN" --output json /orders`,
		Args: cobra.ExactArgs(1),
		RunE: command(func(c *cobra.Command, args []string) error {
			q, err := question(method, args[0], ip, headers)
			if err != nil {
				return err
			}
			if output != "text" && output != "json" {
				return usage{errors.New("--output must be text or json")}
			}
			return explain(c.Context(), std, file, q, output)
		}),
	}
	configFlag(c, &file)
	c.Flags().StringVarP(&method, "request", "X", "GET", "method")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "header field, as 'Name: value'; may be repeated")
	c.Flags().StringVar(&ip, "ip", "127.0.0.1", "address the request comes from")
	c.Flags().StringVar(&output, "output", "text", "text or json")
	return c
}

// question reads what the command line asks.
func question(method, url, ip string, headers []string) (gateway.Question, error) {
	q := gateway.Question{Method: method, URL: url}
	var err error
	if q.IP, err = netip.ParseAddr(ip); err != nil {
		return q, usage{errors.New("--ip must be an address such as 192.0.2.1")}
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return q, usage{errors.New("-H must be a header field such as 'Accept: text/html'")} // not quoted: it may be a token
		}
		q.Headers = append(q.Headers, gateway.Header{Name: name, Value: strings.TrimSpace(value)})
	}
	return q, nil
}

func explain(ctx context.Context, std streams, file string, q gateway.Question, output string) error {
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		return err
	}
	q.Secure = cfg.TLS != nil
	log := telemetry.NewLog(std.err, "warn", cfg.Telemetry.LogFormat)
	g, err := gateway.BuildToExplain(cfg, gateway.Options{Log: log, Version: buildVersion()})
	if err != nil {
		return err
	}
	fmt.Fprintln(std.err, "secret backend:", g.Backend())
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	if err := g.Ready(ctx); err != nil {
		return err
	}
	e, err := g.Explain(q)
	if errors.Is(err, gateway.ErrQuestion) {
		return usage{err}
	}
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(std, e)
	}
	return printExplanation(std.out, newInk(std.out), e)
}
