//! All routes for clients, and what each takes and answers. docs/API.md says the same in words, and more.

use utoipa::openapi::path::{HttpMethod, Operation, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{ArrayBuilder, Content, ObjectBuilder, Ref, Required, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::TargetGroup;
use super::parts::{Route, bytes, integer, one_of, open_object, plain, text, text_of};
use crate::api::{
    FilesJson, JobJson, JobState, JobsJson, MembersJson, NoticeState, PeersJson, Priority, ProfilesJson,
    UploadJson, UploadsJson,
};
use crate::http::health::{HealthJson, ReadyJson};

use ParameterIn::{Header, Path, Query};

const SHA256: &str = "^[0-9a-f]{64}$";
const NAME: &str = "^[A-Za-z0-9._-]{1,64}$";
const JOB: &str = "^[0-9a-f]{32}-[A-Za-z0-9._-]{1,64}$";
const RANGE: &str = "^bytes=[0-9]*-[0-9]*$";
const EVENT_STREAM: &str = "text/event-stream";

type Described = (&'static str, HttpMethod, Operation);

/// Path, method and operation of each.
pub(super) fn all() -> Vec<Described> {
    [uploads(), parts(), jobs(), results(), node(), watching()].concat()
}

fn uploads() -> Vec<Described> {
    let upload = taken(Route::new("uploads", "upload", "Sends a video and gets what is made of it"))
        .content(200, "The result, or a tar of several", &[("*/*", bytes())])
        .json::<JobJson>(202, "With Prefer: respond-async: it is safe, and made a job")
        .takes(Header, "Prefer", "respond-async: do not wait for the result", text());
    vec![("/upload", HttpMethod::Post, upload.done())]
}

/// What an upload takes, and how it may be refused.
fn taken(route: Route) -> Route {
    route
        .body(video())
        .takes(Query, "profile", "What to make, or several with commas between them", text())
        .takes(Query, "strict", "1: a video that can be read only in part is refused", one_of(&["0", "1"]))
        .takes(Header, "X-Deadline-Ms", "Milliseconds in which the answer has to begin", integer(1, None))
        .takes(Header, "X-Content-SHA256", "SHA-256 of the video", text_of(SHA256))
        .takes(Header, "Content-Digest", "The same of the body (RFC 9530)", text())
        .takes(Header, "X-Filename", "For the result's name", text())
        .problem(408, "The body came too slowly")
        .problem(413, "More than the node takes")
        .problem(415, "No media file that is taken")
        .problem(422, "ffprobe or ffmpeg refuses the video")
        .problem(500, "A fault of the node or of its ffmpeg")
        .problem(501, "No node can make this profile")
        .problem(504, "Not done in time, or longer than the request allows")
        .problem(507, "No room on the node's disk")
}

fn video() -> RequestBody {
    let form = ObjectBuilder::new()
        .property("file", ObjectBuilder::new().schema_type(Type::String).content_media_type("video/*"))
        .property("profile", ObjectBuilder::new().schema_type(Type::String))
        .required("file");
    RequestBodyBuilder::new()
        .description(Some("The video, or a form with it"))
        .required(Some(Required::True))
        .content("application/octet-stream", bytes())
        .content("video/*", bytes())
        .content("multipart/form-data", Content::new(Some(Schema::from(form))))
        .build()
}

/// Uploads in parts, by tus and by draft-ietf-httpbis-resumable-upload.
fn parts() -> Vec<Described> {
    let route = |id, summary| Route::new("uploads", id, summary);
    let options = |id| route(id, "What is spoken here").empty(204, "Versions and limits, in the head");
    let create = taken(route("beginUpload", "Begins an upload in parts"))
        .takes(Header, "Tus-Resumable", "1.0.0: by tus", text())
        .takes(Header, "Upload-Length", "How long all of it will be, in bytes", integer(0, None))
        .takes(Header, "Upload-Defer-Length", "1: not known yet (tus)", one_of(&["1"]))
        .takes(Header, "Upload-Metadata", "Keys, each with a value in Base64 (tus)", text())
        .takes(Header, "Upload-Complete", "?0: the body is a part; ?1: all of it", one_of(&["?0", "?1"]))
        .takes(Header, "X-Priority", "interactive before batch", schema_of::<Priority>())
        .takes(Header, "Idempotency-Key", "The same request under the same name is one job", text())
        .takes(Header, "X-Webhook", "A URL that is told of the job's end", text())
        .empty(201, "It has begun: Location says where its parts go")
        .json::<JobJson>(202, "It was all there, and is a job")
        .json::<JobJson>(200, "The same was sent before, and is done")
        .problem(409, "Another request took it over")
        .problem(412, "A version of tus that is not spoken here")
        .problem(423, "Another request is at it")
        .problem(460, "The part does not have its checksum");
    let list = route("listUploads", "Uploads of the client that have not become jobs, the newest first")
        .takes(Query, "after", "Older than this one alone", text_of(JOB))
        .takes(Query, "limit", "So many at the most", integer(1, Some(200)))
        .json::<UploadsJson>(200, "A page of them");
    let part = |id, summary| of_upload(route(id, summary));
    let patch = |id| {
        part(id, "Appends a part")
            .body(video_part())
            .takes(Header, "Upload-Offset", "Where in the upload the body begins", integer(0, None))
            .takes(Header, "Upload-Complete", "?1: the upload ends with this body", one_of(&["?0", "?1"]))
            .takes(Header, "Upload-Checksum", "sha1 or sha256, and the digest in Base64 (tus)", text())
            .empty(204, "It is safe on disk")
            .json::<JobJson>(202, "All of it is there, and a job")
            .json::<JobJson>(200, "The same was sent before, and is done")
            .problem(405, "No method that is meant")
            .problem(408, "The body came too slowly")
            .problem(413, "More than the upload is long, or than the node takes")
            .problem(415, "No media file that is taken, or no part by its type")
            .problem(422, "The Idempotency-Key stands for another request")
            .problem(460, "The part does not have its checksum")
            .problem(507, "No room on the node's disk")
    };
    vec![
        ("/uploads", HttpMethod::Options, options("uploadOptions").done()),
        ("/uploads", HttpMethod::Get, list.done()),
        ("/uploads", HttpMethod::Post, create.done()),
        (
            "/uploads/{id}",
            HttpMethod::Options,
            options("uploadPartOptions").takes(Path, "id", "As POST /uploads named it", text_of(JOB)).done(),
        ),
        (
            "/uploads/{id}",
            HttpMethod::Get,
            part("showUpload", "How far an upload is").json::<UploadJson>(200, "The upload").done(),
        ),
        ("/uploads/{id}", HttpMethod::Patch, patch("appendToUpload").done()),
        (
            "/uploads/{id}",
            HttpMethod::Post,
            patch("appendToUploadByPost")
                .takes(Header, "X-HTTP-Method-Override", "PATCH, for clients that can't send it", text())
                .done(),
        ),
        (
            "/uploads/{id}",
            HttpMethod::Delete,
            part("endUpload", "Ends an upload; a job that it became stays").empty(204, "It is gone").done(),
        ),
    ]
}

fn of_upload(route: Route) -> Route {
    route
        .takes(Path, "id", "As POST /uploads named it", text_of(JOB))
        .takes(Header, "Tus-Resumable", "1.0.0: by tus", text())
        .problem(404, "There is no such upload")
        .problem(409, "It goes on elsewhere, or another request took it over")
        .problem(412, "A version of tus that is not spoken here")
        .problem(423, "Another request is at it")
        .problem(500, "A fault of the node")
}

fn video_part() -> RequestBody {
    RequestBodyBuilder::new()
        .description(Some("A part of the video"))
        .content("application/offset+octet-stream", bytes())
        .content("application/partial-upload", bytes())
        .build()
}

fn jobs() -> Vec<Described> {
    let create = taken(Route::new("jobs", "createJob", "Sends a video whose result is fetched later"))
        .takes(Header, "X-Priority", "interactive before batch", schema_of::<Priority>())
        .takes(Header, "Idempotency-Key", "The same request under the same name is one job", text())
        .takes(Header, "X-Webhook", "A URL that is told of the job's end", text())
        .json::<JobJson>(202, "It is safe on disk")
        .json::<JobJson>(200, "The same request was made before, and is done");
    let list = Route::new("jobs", "listJobs", "Jobs of the client, the newest first")
        .takes(Query, "state", "In this state alone", schema_of::<JobState>())
        .takes(Query, "webhook", "With a webhook in this state alone", schema_of::<NoticeState>())
        .takes(Query, "after", "Older than this one alone", text_of(JOB))
        .takes(Query, "limit", "So many at the most", integer(1, Some(200)))
        .json::<JobsJson>(200, "A page of them");
    let one = |id, summary| of_job(Route::new("jobs", id, summary));
    let output = |id| {
        let route = one(id, "A job's result").takes(Header, "Range", "One range of bytes", text_of(RANGE));
        fetched(route)
    };
    let retry = one("retryJob", "Does a job again that failed or was cancelled")
        .takes(
            Header,
            "X-Deadline-Ms",
            "Milliseconds that it may take; as many as before without it",
            integer(1, None),
        )
        .json::<JobJson>(202, "It is a new job, safe on disk")
        .json::<JobJson>(200, "The same was asked for again before, and is done")
        .problem(409, "The job is not over, or it is done")
        .problem(410, "Its video is not kept any more")
        .problem(500, "A fault of the node")
        .problem(507, "No room on the node's disk");
    let events = one("watchJob", "How far a job is, until it is over")
        .takes(
            Header,
            "Last-Event-ID",
            "Of the last event that the client has, from any node: it is told when the job is another one than then",
            text(),
        )
        .content(200, "Server-sent events: the whole job, whenever it has changed", &[(EVENT_STREAM, plain())])
        .content(204, "The job is over, and the client was told so by the event of that id", &[]);
    vec![
        ("/jobs", HttpMethod::Post, create.done()),
        ("/jobs", HttpMethod::Get, list.done()),
        ("/jobs/{id}", HttpMethod::Get, one("showJob", "A job").json::<JobJson>(200, "The job").done()),
        (
            "/jobs/{id}",
            HttpMethod::Delete,
            one("cancelJob", "Cancels a job, or forgets one that is over")
                .json::<JobJson>(200, "As it is now")
                .done(),
        ),
        ("/jobs/{id}/retry", HttpMethod::Post, retry.done()),
        ("/jobs/{id}/events", HttpMethod::Get, events.done()),
        ("/jobs/{id}/output", HttpMethod::Get, output("jobOutput").done()),
        (
            "/jobs/{id}/output/{profile}",
            HttpMethod::Get,
            output("jobOutputOfProfile")
                .takes(Path, "profile", "One of the job's profiles", text_of(NAME))
                .done(),
        ),
    ]
}

fn of_job(route: Route) -> Route {
    route.takes(Path, "id", "As POST /jobs named it", text_of(JOB)).problem(404, "There is no such job")
}

fn results() -> Vec<Described> {
    let of_result = |route: Route| {
        route
            .takes(Path, "sha256", "SHA-256 of the video that was sent", text_of(SHA256))
            .takes(Path, "profile", "What was made of it", text_of(NAME))
            .takes(Query, "token", "Under --private-results: the token that came with the result", text())
            .problem(401, "No token; or results are private here, and there is none for this one")
    };
    let bytes_of = |id, summary| {
        fetched(of_result(Route::new("results", id, summary)).takes(
            Header,
            "Range",
            "One range of bytes",
            text(),
        ))
    };
    let files = of_result(Route::new("results", "resultFiles", "The files of a result"))
        .json::<FilesJson>(200, "The first is the one to open")
        .problem(404, "Not here");
    vec![
        (
            "/objects/{sha256}/{profile}",
            HttpMethod::Get,
            bytes_of("result", "A result that this node holds").done(),
        ),
        ("/objects/{sha256}/{profile}/", HttpMethod::Get, files.done()),
        (
            "/objects/{sha256}/{profile}/{file}",
            HttpMethod::Get,
            bytes_of("resultFile", "One file of a result")
                .takes(Path, "file", "Its name", text_of(NAME))
                .done(),
        ),
    ]
}

/// What is answered with a result, in whole or in part.
fn fetched(route: Route) -> Route {
    route
        .content(200, "All of it", &[("*/*", bytes())])
        .content(206, "The range", &[("*/*", bytes())])
        .empty(304, "What the client has is what is here")
        .problem(404, "Not here")
        .problem(412, "If-Match names another one")
        .problem(416, "The range begins behind its end")
}

fn node() -> Vec<Described> {
    let get = |id, summary| Route::new("node", id, summary);
    let ready = get("ready", "Whether it takes work")
        .json::<ReadyJson>(200, "It does")
        .json::<ReadyJson>(503, "It joins, is cut off, or shuts down");
    let metrics = get("metrics", "Prometheus's text format").content(
        200,
        "All metrics of this node",
        &[("text/plain", plain()), ("application/openmetrics-text", plain())],
    );
    let groups = ArrayBuilder::new().items(Ref::from_schema_name(TargetGroup::<'_>::name()));
    let targets = get("prometheusTargets", "The members, for Prometheus's HTTP service discovery").content(
        200,
        "A group for each",
        &[("application/json", Content::new(Some(Schema::from(groups))))],
    );
    vec![
        (
            "/health",
            HttpMethod::Get,
            get("health", "Whether it lives").json::<HealthJson<'_>>(200, "It does").done(),
        ),
        ("/ready", HttpMethod::Get, ready.done()),
        (
            "/members",
            HttpMethod::Get,
            get("members", "All members").json::<MembersJson>(200, "By name").done(),
        ),
        (
            "/peers",
            HttpMethod::Get,
            get("peers", "Others that work").json::<PeersJson>(200, "By name").done(),
        ),
        (
            "/profiles",
            HttpMethod::Get,
            get("profiles", "What can be made").json::<ProfilesJson>(200, "By name").done(),
        ),
        ("/metrics", HttpMethod::Get, metrics.done()),
        ("/sd/prometheus", HttpMethod::Get, targets.done()),
        (
            "/openapi.json",
            HttpMethod::Get,
            get("openapi", "This document")
                .content(200, "OpenAPI 3.1", &[("application/json", open_object())])
                .done(),
        ),
    ]
}

fn watching() -> Vec<Described> {
    let get = |id, summary| Route::new("watching", id, summary);
    let stream = |route: Route| {
        route.takes(Header, "Last-Event-ID", "Begins after that event", text()).content(
            200,
            "Server-sent events",
            &[(EVENT_STREAM, plain())],
        )
    };
    let events = stream(get("events", "What happens at this node and to the membership"))
        .takes(Query, "from", "now, or all that is kept", one_of(&["now", "oldest"]))
        .takes(Query, "after", "Begins after that event", text())
        .takes(Query, "kind", "membership, job, work, cache, node, with commas between them", text())
        .takes(Query, "follow", "0: ends with the newest event", one_of(&["0", "1"]));
    let json = |id, summary| {
        let route = get(id, summary).describe("For the page: its fields may come to be more.");
        route.content(200, "As this node sees it", &[("application/json", open_object())]).done()
    };
    vec![
        ("/events", HttpMethod::Get, events.done()),
        (
            "/dashboard",
            HttpMethod::Get,
            get("dashboard", "The page that shows the cluster")
                .content(200, "HTML", &[("text/html", plain())])
                .done(),
        ),
        ("/dashboard/state", HttpMethod::Get, json("dashboardState", "All that the page shows")),
        ("/dashboard/work", HttpMethod::Get, json("dashboardWork", "Its jobs and decisions alone")),
        (
            "/dashboard/stream",
            HttpMethod::Get,
            stream(get("dashboardStream", "The same as it changes")).done(),
        ),
    ]
}

/// A small type's schema where it stands.
fn schema_of<T: PartialSchema>() -> Schema {
    match T::schema() {
        utoipa::openapi::RefOr::T(schema) => schema,
        utoipa::openapi::RefOr::Ref(_) => text(),
    }
}
