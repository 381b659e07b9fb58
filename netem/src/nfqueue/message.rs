//! The messages of `nfnetlink_queue` (`linux/netfilter/nfnetlink_queue.h`): configuration and verdicts out, packets in.
//! Netlink headers are in the byte order of the machine, everything of nfnetlink in network order.

const NLMSG_HEADER: usize = 16;
const NFGEN_HEADER: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const SUBSYSTEM_QUEUE: u16 = 3 << 8;
const MSG_PACKET: u16 = SUBSYSTEM_QUEUE;
const MSG_VERDICT: u16 = SUBSYSTEM_QUEUE | 1;
const MSG_CONFIG: u16 = SUBSYSTEM_QUEUE | 2;

const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMS: u16 = 2;
const CONFIG_QUEUE_MAXLEN: u16 = 3;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;

const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const PACKET_PAYLOAD: u16 = 10;
const PACKET_CAPTURED_LENGTH: u16 = 13;
/// The upper bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

/// What becomes of a packet that the kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop = 0,
    Accept = 1,
}

/// A message from the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    Packet(Packet<'a>),
    /// The answer to a request: 0, or an errno.
    Answer(i32),
    /// Something that this code never asked for.
    Other,
}

/// A packet that the kernel holds until its verdict.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub queue: u16,
    pub id: u32,
    /// As much of the packet, from its IP header on, as was asked for.
    pub head: &'a [u8],
    /// The length of all of it.
    pub bytes: u32,
}

/// The first message of a datagram. `None` if it is not whole.
pub(super) fn parse(datagram: &[u8]) -> Option<Received<'_>> {
    let length = u32::from_ne_bytes(datagram.get(0..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
    let body = datagram.get(NLMSG_HEADER..length)?;
    match kind {
        NLMSG_ERROR => Some(Received::Answer(-i32::from_ne_bytes(body.get(0..4)?.try_into().ok()?))),
        MSG_PACKET => parse_packet(body).map(Received::Packet),
        _ => Some(Received::Other),
    }
}

fn parse_packet(body: &[u8]) -> Option<Packet<'_>> {
    let queue = u16::from_be_bytes(body.get(2..4)?.try_into().ok()?);
    let mut attributes = body.get(NFGEN_HEADER..)?;
    let (mut id, mut head, mut captured) = (None, &[][..], None);
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([attributes[0], attributes[1]]));
        let kind = u16::from_ne_bytes([attributes[2], attributes[3]]) & TYPE_MASK;
        let value = attributes.get(4..length)?;
        match kind {
            PACKET_HEADER => id = Some(u32::from_be_bytes(value.get(0..4)?.try_into().ok()?)),
            PACKET_PAYLOAD => head = value,
            PACKET_CAPTURED_LENGTH => captured = Some(u32::from_be_bytes(value.get(0..4)?.try_into().ok()?)),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let bytes = captured.unwrap_or(head.len() as u32);
    Some(Packet { queue, id: id?, head, bytes })
}

/// Takes a queue.
pub(super) fn bind(queue: u16) -> Vec<u8> {
    config(queue, NLM_F_ACK, CONFIG_COMMAND, &[COMMAND_BIND, 0, 0, 0])
}

/// How many packets the kernel holds before it drops.
pub(super) fn queue_packets(queue: u16, packets: u32) -> Vec<u8> {
    config(queue, NLM_F_ACK, CONFIG_QUEUE_MAXLEN, &packets.to_be_bytes())
}

/// How much of each packet to hand over.
pub(super) fn copy_range(queue: u16, bytes: u32, answer: Answer) -> Vec<u8> {
    let mut params = bytes.to_be_bytes().to_vec();
    params.push(COPY_PACKET);
    let flags = if answer == Answer::Wanted { NLM_F_ACK } else { 0 };
    config(queue, flags, CONFIG_PARAMS, &params)
}

/// Whether the kernel says how a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Wanted,
    /// Only if it failed.
    Unwanted,
}

fn config(queue: u16, flags: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    push_message(&mut message, MSG_CONFIG, NLM_F_REQUEST | flags, queue, attribute, value);
    message
}

/// Appends a verdict: many fit into one datagram.
pub(super) fn push_verdict(batch: &mut Vec<u8>, queue: u16, id: u32, verdict: Verdict) {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&(verdict as u32).to_be_bytes());
    value[4..].copy_from_slice(&id.to_be_bytes());
    push_message(batch, MSG_VERDICT, NLM_F_REQUEST, queue, VERDICT_HEADER, &value);
}

fn push_message(out: &mut Vec<u8>, kind: u16, flags: u16, queue: u16, attribute: u16, value: &[u8]) {
    let attribute_bytes = 4 + value.len();
    let length = NLMSG_HEADER + NFGEN_HEADER + attribute_bytes.next_multiple_of(4);
    let end = out.len() + length;
    out.extend((length as u32).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]); // sequence and port: the socket has one request under way at a time
    out.extend([0, 0]); // family: any; version 0
    out.extend(queue.to_be_bytes());
    out.extend((attribute_bytes as u16).to_ne_bytes());
    out.extend(attribute.to_ne_bytes());
    out.extend(value);
    out.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(queue: u16, id: u32, head: &[u8], captured: Option<u32>) -> Vec<u8> {
        let mut body = vec![2, 0];
        body.extend(queue.to_be_bytes());
        let mut attribute = |kind: u16, value: &[u8]| {
            body.extend(((4 + value.len()) as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        };
        attribute(PACKET_HEADER, &[&id.to_be_bytes()[..], &[8, 0, 1]].concat());
        attribute(PACKET_PAYLOAD, head);
        if let Some(bytes) = captured {
            attribute(PACKET_CAPTURED_LENGTH, &bytes.to_be_bytes());
        }
        let mut message = ((NLMSG_HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend(MSG_PACKET.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message
    }

    #[test]
    fn a_verdict_is_what_the_kernel_expects() {
        let mut batch = Vec::new();
        push_verdict(&mut batch, 0x5a10, 7, Verdict::Accept);
        let expected = [
            &32u32.to_ne_bytes()[..],
            &0x0301u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            &[0; 8],
            &[0, 0, 0x5a, 0x10],
            &12u16.to_ne_bytes(),
            &2u16.to_ne_bytes(),
            &[0, 0, 0, 1, 0, 0, 0, 7],
        ]
        .concat();
        assert_eq!(batch, expected);
    }

    #[test]
    fn a_truncated_packet_says_its_real_length() {
        let datagram = packet(3, 9, &[0x45, 1, 2], Some(1400));
        let expected = Packet { queue: 3, id: 9, head: &[0x45, 1, 2], bytes: 1400 };
        assert_eq!(parse(&datagram), Some(Received::Packet(expected)));
    }

    #[test]
    fn a_whole_packet_is_as_long_as_it_is() {
        let datagram = packet(3, 9, &[0x45; 20], None);
        assert!(matches!(parse(&datagram), Some(Received::Packet(Packet { bytes: 20, .. }))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn a_cut_message_is_refused(cut in 0usize..56) {
            let datagram = packet(3, 9, &[0x45; 20], None);
            prop_assert!(cut >= datagram.len() || parse(&datagram[..cut]).is_none());
        }
    }
}
