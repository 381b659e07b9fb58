use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn record(number: u64, file: usize) -> Record {
    Record {
        number,
        at: Duration::from_secs(number),
        took: Duration::from_secs(3),
        file,
        node: Some(1),
        bytes: 100,
        ended: Ended::Served("local"),
    }
}

#[test]
fn jobs_that_were_not_done_have_the_mean_time_of_their_clip_and_equal_contents_one_number() {
    let services: Services = [("a".to_owned(), (MS(1_000), 40)), ("b".to_owned(), (MS(3_000), 40))].into();
    let records = [record(0, 7), record(1, 7), record(2, 7), record(3, 8), record(4, 7)];
    let contents = (0..).zip(["a", "b", "c", "d", "b"].map(str::to_owned)).collect();
    let requests = recorded(&records, &services, &contents, &[0, 3]);
    let seen: Vec<_> = requests.iter().map(|request| (request.node, request.content, request.work)).collect();
    let expected = [(0, 1_000), (1, 3_000), (2, 2_333), (3, 2_333), (1, 3_000)];
    let near = |(node, content, work): &(usize, u64, Duration), (number, ms): (u64, u64)| {
        *node == 3 && *content == number && work.as_millis() as u64 == ms
    };
    assert!(seen.iter().zip(expected).all(|(seen, expected)| near(seen, expected)), "{seen:?}");
}

#[test]
fn a_nodes_event_tells_how_long_a_job_kept_a_worker() {
    let event =
        r#"{"kind":"work","event":"made","content":"ab12","profile":"paper","took_ms":812,"bytes_out":9}"#;
    let made = made(&serde_json::from_str(event).unwrap());
    assert_eq!(made, Some(("ab12".to_owned(), (MS(812), 9))));
}

#[test]
fn what_is_written_is_read() {
    let request = |at: u64, node| Recorded {
        at: MS(at),
        node,
        content: at,
        bytes: 1_000_000,
        result_bytes: 400_000,
        work: MS(812),
        work_pixels: 81_200_000,
    };
    let recording = Recording {
        nodes: 3,
        workers: 2,
        deadline: MS(40_000),
        requests: vec![request(0, 2), request(1_500, 0)],
    };
    let text = recording.text();
    assert_eq!(text.lines().count(), 3);
    assert_eq!(Recording::read(&text), Ok(recording.clone()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    recording.write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // The order in the file is no matter.
    let mut lines: Vec<_> = text.lines().collect();
    lines.swap(1, 2);
    assert_eq!(Recording::read(&lines.join("\n")), Ok(recording));
}

#[test]
fn what_is_no_recording_is_refused_with_the_line_and_what_is_wrong() {
    let head = r#"{"nodes":2,"workers":1,"deadline_ms":40000}"#;
    let line = |node: usize, work_ms: u64| {
        format!(
            r#"{{"at_ms":1,"node":{node},"content":0,"bytes":9,"result_bytes":4,"work_ms":{work_ms},"work_pixels":5}}"#
        )
    };
    let error = |lines: &[&str]| Recording::read(&lines.join("\n")).unwrap_err().to_string();
    assert!(error(&[]).contains("starling load --record"));
    assert!(error(&[head]).contains("no request"));
    assert!(error(&["not JSON"]).starts_with("line 1: "));
    assert!(error(&[r#"{"nodes":0,"workers":1,"deadline_ms":1}"#]).contains("line 1: 0 nodes"));
    assert!(error(&[r#"{"nodes":1,"workers":0,"deadline_ms":1}"#]).contains("line 1: 0 workers"));
    assert!(error(&[head, &line(2, 5)]).contains("line 2: node 2 of 2"));
    assert!(error(&[head, &line(0, 5), &line(0, u64::MAX)]).contains("line 3: work_ms"));
    assert!(error(&[head, "{}"]).contains("line 2: missing field"));
}
