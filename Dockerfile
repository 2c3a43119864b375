# The desk alone; its PostgreSQL is another container or host, named by DATABASE_URL. Without that variable the desk
# runs its embedded PostgreSQL with the data in the volume.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml LICENSE ./
RUN python -m venv /opt/otcdesk \
    && /opt/otcdesk/bin/pip install --no-cache-dir --no-input --require-hashes -r requirements.lock
COPY otcdesk otcdesk
RUN /opt/otcdesk/bin/pip install --no-cache-dir --no-input --no-index --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/desk --create-home desk
COPY --from=build /opt/otcdesk /opt/otcdesk
ENV PATH=/opt/otcdesk/bin:$PATH DESK_HOME=/var/lib/desk PYTHONUNBUFFERED=1
USER desk
VOLUME /var/lib/desk
EXPOSE 8080
# The exec form, so that the desk itself gets the signal to stop and can stop its database in order.
ENTRYPOINT ["otcdesk"]
CMD ["serve"]
