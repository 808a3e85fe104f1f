// What a health probe is when it is written in Rust with nothing but its standard library: twin http://HOST:PORT/PATH
use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::time::Duration;

fn check(url: &str) -> Result<u16, String> {
    let rest = url.strip_prefix("http://").ok_or("not http")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).map_err(|error| error.to_string())?;
    let limit = Some(Duration::from_secs(3));
    stream.set_read_timeout(limit).map_err(|error| error.to_string())?;
    stream.set_write_timeout(limit).map_err(|error| error.to_string())?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/1.").and_then(|text| text.split(' ').nth(1));
    status.and_then(|status| status.parse().ok()).ok_or("no HTTP".to_string())
}

fn main() {
    match check(&env::args().nth(1).unwrap_or_default()) {
        Ok(status) if status < 400 => println!("healthy: {status}"),
        Ok(status) => {
            println!("unhealthy: {status}");
            exit(1);
        }
        Err(error) => {
            println!("unhealthy: {error}");
            exit(1);
        }
    }
}
