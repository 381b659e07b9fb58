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

# ffmpeg's package brings graphics drivers and more, three times what its two programs link to.
FROM debian:bookworm-slim AS media
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ffmpeg
RUN mkdir /media-root \
    && ldd /usr/bin/ffmpeg /usr/bin/ffprobe | awk '$3 ~ /^\// { print $3 }' | sed 's|^/lib/|/usr/lib/|' | sort -u \
        | xargs cp --parents --dereference --target-directory=/media-root /usr/bin/ffmpeg /usr/bin/ffprobe

FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        iproute2 iptables libcap2-bin nftables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --uid 5000 --home-dir /data --create-home --shell /usr/sbin/nologin starling \
    && install -d -o starling -g starling -m 700 /key
COPY --from=media /media-root/ /
COPY --from=binaries /binaries/ /usr/local/bin/
COPY --chmod=755 scripts/entrypoint.sh /usr/local/bin/entrypoint.sh
# What shapes links may do so without root, where the container was given the capabilities; nothing else may.
RUN setcap cap_net_admin,cap_net_raw+ep /usr/local/bin/netem \
    && for tool in tc nft iptables; do setcap cap_net_admin+ep "$(readlink -f "$(command -v $tool)")"; done \
    && ffmpeg -version >/dev/null && ffprobe -version >/dev/null
USER starling
WORKDIR /data
VOLUME /data
ENV STARLING_DATA_DIR=/data/node
EXPOSE 5000/tcp 5000/udp
HEALTHCHECK --interval=3s --timeout=2s --start-period=20s --retries=5 \
    CMD ["starling", "members", "--node", "127.0.0.1:5000"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["starling", "node"]
