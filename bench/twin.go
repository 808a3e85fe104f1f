// What a health probe is when it is written in Go and has no options: twin URL [FILE WITH AUTHORITIES]
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	transport := &http.Transport{}
	if len(os.Args) > 2 {
		pem, err := os.ReadFile(os.Args[2])
		if err != nil {
			fmt.Println("unhealthy:", err)
			os.Exit(1)
		}
		authorities := x509.NewCertPool()
		authorities.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: authorities}
	}
	client := http.Client{Timeout: 3 * time.Second, Transport: transport}
	response, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Println("unhealthy:", err)
		os.Exit(1)
	}
	response.Body.Close()
	if response.StatusCode >= 400 {
		fmt.Println("unhealthy:", response.StatusCode)
		os.Exit(1)
	}
	fmt.Println("healthy:", response.StatusCode)
}
