//! Packets between namespaces, and what they measure.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use starling_netem::End;

/// A UDP socket on a node's first (IPv4) or second (IPv6) address.
pub fn udp(end: &End, address: usize) -> UdpSocket {
    let address: IpAddr = end.node.addresses[address];
    let socket = end.netns.run(|| UdpSocket::bind((address, 0))).unwrap();
    // What a busy machine delivers late comes in a heap.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 8 << 20).unwrap();
    socket
}

/// Answers every datagram until it is dropped.
pub struct Echo {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub fn start(end: &End, address: usize) -> Self {
        let socket = udp(end, address);
        let address = socket.local_addr().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Round trips of single datagrams, one after the other; `None` where no answer came within a second.
pub fn round_trips(from: &End, echo: &Echo, count: u32) -> Vec<Option<Duration>> {
    let socket = udp(from, usize::from(echo.address.is_ipv6()));
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut buffer = [0; 64];
    (0..count)
        .map(|number| {
            let start = Instant::now();
            socket.send_to(&number.to_ne_bytes(), echo.address).unwrap();
            // A late answer to an earlier one is not an answer to this.
            loop {
                match socket.recv(&mut buffer) {
                    Ok(4) if buffer[..4] == number.to_ne_bytes() => return Some(start.elapsed()),
                    Ok(_) => {}
                    // A machine that is stopped and goes on interrupts calls that have a timeout.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if timed_out(&error) => return None,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .collect()
}

/// The quickest of some round trips in milliseconds, all of which have to arrive: what the link takes, without what a busy
/// machine adds now and then.
pub fn rtt_ms(from: &End, to: &End, address: usize) -> f64 {
    let echo = Echo::start(to, address);
    let rtts = round_trips(from, &echo, 12).into_iter().map(|rtt| rtt.expect("an answer"));
    rtts.min().expect("a round trip").as_secs_f64() * 1e3
}

/// Whether anything comes back at all.
pub fn reaches(from: &End, to: &End) -> bool {
    round_trips(from, &Echo::start(to, 0), 2).iter().any(Option::is_some)
}

/// Sends datagrams one way, spread over some time, and says for each how often it arrived.
pub fn arrivals(from: &End, to: &End, count: u32) -> Vec<u32> {
    let receiver = udp(to, 0);
    let address = receiver.local_addr().unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(800))).unwrap();
    let thread = std::thread::spawn(move || {
        let mut times = vec![0; count as usize];
        let mut buffer = [0; 64];
        loop {
            match receiver.recv(&mut buffer) {
                Ok(_) => times[u32::from_ne_bytes(buffer[..4].try_into().unwrap()) as usize] += 1,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => break,
                Err(error) => panic!("{error}"),
            }
        }
        times
    });
    let sender = udp(from, 0);
    for number in 0..count {
        sender.send_to(&number.to_ne_bytes(), address).unwrap();
        if number % 20 == 19 {
            // Paces the sender, so that no socket buffer overflows.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    thread.join().unwrap()
}

/// Bits a second of one TCP stream, after its window has opened.
pub fn tcp_bits_per_s(from: &End, to: &End, warm_up: Duration, time: Duration) -> f64 {
    let address = to.node.addresses[0];
    let listener = to.netns.run(|| TcpListener::bind((address, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let sender = from.netns.run(|| TcpStream::connect(address)).unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    let sending = std::thread::spawn(move || {
        let mut sender = sender;
        let block = vec![0; 256 << 10];
        while sender.write_all(&block).is_ok() {}
    });
    let mut buffer = vec![0; 1 << 20];
    let mut receive_for = |time: Duration| {
        let start = Instant::now();
        let mut bytes = 0;
        while start.elapsed() < time {
            bytes += receiver.read(&mut buffer).unwrap();
        }
        bytes as f64 * 8.0 / start.elapsed().as_secs_f64()
    };
    receive_for(warm_up);
    let rate = receive_for(time);
    drop(receiver);
    sending.join().unwrap();
    rate
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
