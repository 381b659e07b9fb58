# The image of a node. Plain: docker build .
# With binaries built outside, in target/image: docker build --build-arg BINARIES=outside .
ARG BINARIES=build

FROM rust:1-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --workspace --bins \
    && mkdir /binaries && cp target/release/starling target/release/netem /binaries/

FROM scratch AS outside
COPY target/image/ /binaries/

FROM ${BINARIES} AS binaries

FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ffmpeg iproute2 iptables libcap2-bin nftables \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 5000 --home-dir /data --create-home starling
COPY --from=binaries /binaries/ /usr/local/bin/
COPY --chmod=755 scripts/entrypoint.sh /usr/local/bin/entrypoint.sh
# What shapes links may do so without root, where the container was given NET_ADMIN; nothing else may.
RUN for tool in /usr/local/bin/netem "$(readlink -f "$(command -v tc)")" "$(readlink -f "$(command -v nft)")" \
        "$(readlink -f "$(command -v iptables)")"; do setcap cap_net_admin+ep "$tool"; done
USER starling
WORKDIR /data
VOLUME /data
ENV STARLING_DATA_DIR=/data/node
EXPOSE 5000/tcp 5000/udp
HEALTHCHECK --interval=2s --timeout=2s --start-period=20s --retries=5 \
    CMD ["starling", "members", "--node", "127.0.0.1:5000"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["starling", "node"]
